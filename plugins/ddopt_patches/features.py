"""Random features: hidden layers that do not move.

    φ_k(x) = tanh(W_k · t + b_k),   t = (x − m)/h,   so   ∂^γ φ_k = tanh^(|γ|)(..) Π (W_ki /
    h_i)^γ_i

with W ~ U(−s, s) and the kinks of the features at random places of the patch: b_k = −W_k · p_k with
p_k uniform in 1.2 times the patch. (Huang, Zhu and Siew 2006 call one such network an extreme
learning machine; Chen, Chi, E and Yang 2022 blend several: the random feature method.)
"""

from __future__ import annotations

import torch

from ddopt.numerics.randomness import generator
from ddopt_pinn.derivatives import upto

REACH = 1.2  # kinks lie in so many half widths of a patch


def draw(
    patches: int, dimensions: int, features: int, scale: float, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """W (patches, features, d) and b (patches, features), decided by the seed."""
    chance = generator(seed, "patches", "features")
    uniform = torch.rand(2, patches, features, dimensions, generator=chance, dtype=torch.float64)
    W = scale * (2.0 * uniform[0] - 1.0)
    places = REACH * (2.0 * uniform[1] - 1.0)
    return W, -(W * places).sum(-1)


def powers(W: torch.Tensor, order: int) -> torch.Tensor:
    """Π W_i^γ_i for all γ up to ``order``, shape (.., Γ, features), from W (.., features, d)."""
    found = []
    for gamma in upto(W.shape[-1], order):
        value = torch.ones_like(W[..., 0])
        for axis, k in enumerate(gamma):
            for _ in range(k):
                value = value * W[..., axis]
        found.append(value)
    return torch.stack(found, -2)

"""Losses of a network's outputs, whose Hessian in the outputs is known in closed form.

With f(θ) = Σ_i w ℓ_i(z_i(θ)) and z_i the outputs of row i, the generalised Gauss-Newton matrix is
G = Σ_i w J_iᵀ H_i J_i, J_i = ∂z_i/∂θ and H_i = ∇²ℓ_i(z_i): the Hessian of f without the curvature
of the network, positive semidefinite where ℓ is convex (Schraudolph, Neural Computation 14 (2002)
1723; Martens, JMLR 21 (2020) 146, section 8).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from ddopt.evaluation.problem import Operator, Samples

Outputs = Callable[[Mapping[str, torch.Tensor], Samples], "Scores"]


@dataclass(frozen=True)
class Scores:
    """What a classifier says of its samples, and how much the cross-entropy of a row counts."""

    rows: torch.Tensor  # z, shape (rows, classes)
    weight: float = 1.0


def softmax_curvature(z: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """H u for the cross-entropy of softmax(z), row by row: p ∘ u − p <p, u>; all (rows, classes).

    The labels do not enter.
    """
    p = torch.softmax(z, 1)
    scaled = p * u
    return scaled - p * scaled.sum(1, keepdim=True)


def generalised(scores: Scores, theta: torch.Tensor, count: float) -> Operator:
    """v ↦ G v, from (n,) to (n,), of (1/count) Σ weight ℓ_i; the graph leads to ``theta``.

    J v is a derivative of Jᵀw, which is linear in w; so each product takes two backward passes.
    """
    z, factor = scores.rows, scores.weight / count
    w = torch.zeros_like(z).requires_grad_()
    (pulled,) = torch.autograd.grad(z, theta, w, create_graph=True)

    def product(v: torch.Tensor) -> torch.Tensor:
        (along,) = torch.autograd.grad(pulled, w, v, retain_graph=True)
        curved = factor * softmax_curvature(z.detach(), along)
        return torch.autograd.grad(z, theta, curved, retain_graph=True)[0]

    return product

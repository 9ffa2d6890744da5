"""Steepest descent in the spectral norm: the direction of Muon, layer by layer.

Sources: Bernstein and Newhouse, Old optimizer, new norm, arXiv 2409.20325 (the linear model in a
ball of the operator norm is minimised by the orthogonal factor); Jordan et al., Muon, 2024 (the
Newton-Schulz iteration and its coefficients); Liu et al., arXiv 2502.16982 (the scale that gives
every layer's step the same root mean square).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt.numerics.space import Layout

QUINTIC = (3.4445, -4.7750, 2.0315)
STEPS = 5  # singular values end between 0.7 and 1.2


def steepest(layout: Layout, u: torch.Tensor) -> torch.Tensor:
    """The step (n,) along which <u, .> grows most, every layer's of root mean square about 1.

    A matrix becomes its orthogonal factor (a convolution is a matrix with a row for each output);
    what has no two dimensions is scaled. A layer where ``u`` is zero does not move.
    """
    step = torch.empty_like(u)
    for shape, where in zip(layout.shapes, layout.slices, strict=True):
        own = u[where]
        if len(shape) >= 2 and min(rows := shape[0], columns := shape[1:].numel()) > 1:
            step[where] = orthogonal(own.view(rows, columns)).flatten()
            step[where] *= math.sqrt(max(rows, columns))
        else:
            step[where] = own / (own.square().mean().sqrt() + torch.finfo(u.dtype).tiny)
    return step


def orthogonal(matrix: torch.Tensor) -> torch.Tensor:
    """About U Vᵀ of ``matrix`` = U Σ Vᵀ, shape (rows, columns); zero for zero."""
    tall = matrix.shape[0] > matrix.shape[1]
    a, b, c = QUINTIC
    x = matrix.T if tall else matrix
    x = x / (torch.linalg.matrix_norm(x) + torch.finfo(x.dtype).tiny)
    for _ in range(STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x

"""A better basis for each patch: its columns of the Jacobian, orthonormal on its own rows.

Random features are nearly dependent. With J_p = Q R and R = U Σ Vᵀ the unknowns y of c_p = T y, T =
V Σ⁻¹, have orthonormal columns J_p T; directions with a singular value below ``drop`` times the
largest one are left out. What couples neighbouring patches is left to the factorisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddopt_patches.block import Block

NUMBERS = 1 << 24  # of one batch; bounds the memory beside the Jacobian


def triangles(blocks: Sequence[Block], patches: int) -> torch.Tensor:
    """R of the QR factorisation of each patch's columns, shape (S, B, B)."""
    B = blocks[0].by_corner.shape[-1]
    found = blocks[0].by_corner.new_zeros(patches, B, B)
    for number, block in enumerate(blocks):
        _, C, rows, _ = block.by_corner.shape
        where = torch.full((patches, C), -1)  # the row of a block in which a patch is corner k
        for k in range(C):
            where[block.patches[:, k], k] = torch.arange(len(block.patches))
        own = (where >= 0).any(1).nonzero().flatten()
        for some in own.split(max(1, NUMBERS // (C * rows * B))):
            tall = block.by_corner.new_zeros(len(some), C, rows, B)
            for k in range(C):
                here = (where[some, k] >= 0).nonzero().flatten()
                tall[here, k] = block.by_corner[where[some[here], k], k]
            tall = tall.flatten(1, 2)
            if number:
                tall = torch.cat([found[some], tall], 1)
            R = torch.linalg.qr(tall, mode="r").R
            found[some] = torch.nn.functional.pad(R, (0, 0, 0, B - R.shape[1]))
    return found


def basis(triangle: torch.Tensor, drop: float) -> tuple[torch.Tensor, torch.Tensor]:
    """T of each patch (S, B, B), with zero columns where dropped, and what is kept (S, B).

    Where nothing has to be dropped T = R⁻¹ is as good as V Σ⁻¹, at a small part of the cost.
    """
    B = triangle.shape[1]
    T = torch.linalg.solve_triangular(triangle, torch.eye(B).to(triangle), upper=True)
    bound = torch.linalg.matrix_norm(triangle) * torch.linalg.matrix_norm(T)  # >= σ_1 / σ_B
    kept = torch.ones(triangle.shape[:2], dtype=torch.bool)
    poor = (~(bound * drop < 1.0)).nonzero().flatten()
    if len(poor):
        _, values, rows = torch.linalg.svd(triangle[poor])
        kept[poor] = values > drop * values[:, :1]
        inverse = torch.where(kept[poor], 1.0 / values.clamp_min(1e-300), torch.zeros_like(values))
        T[poor] = rows.mT * inverse[:, None, :]
    return T, kept

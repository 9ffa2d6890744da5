"""A better basis for each patch: its columns of the Jacobian, orthonormal on its own rows.

Random features are nearly dependent. With J_p = Q R and R = U Σ Vᵀ the unknowns y of c_p = V Σ⁻¹ y
have orthonormal columns J_p V Σ⁻¹; directions with a singular value below ``drop`` times the
largest one are left out. What couples neighbouring patches is left to the factorisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddopt_patches.rows import Block

NUMBERS = 1 << 24  # of one batch; bounds the memory beside the Jacobian


def triangles(blocks: Sequence[Block], patches: int) -> torch.Tensor:
    """R of the QR factorisation of each patch's columns, shape (S, B, B)."""
    B = blocks[0].entries.shape[-1]
    found = blocks[0].entries.new_zeros(patches, B, B)
    for block in blocks:
        rows, C = block.entries.shape[1], block.patches.shape[1]
        where = torch.full((patches, C), -1)  # the row of a block in which a patch is corner k
        for k in range(C):
            where[block.patches[:, k], k] = torch.arange(len(block.patches))
        own = (where >= 0).any(1).nonzero().flatten()
        for some in own.split(max(1, NUMBERS // (C * rows * B))):
            stack = block.entries.new_zeros(len(some), C, rows, B)
            for k in range(C):
                here = (where[some, k] >= 0).nonzero().flatten()
                stack[here, k] = block.entries[where[some[here], k], :, k]
            tall = torch.cat([found[some], stack.flatten(1, 2)], 1)
            R = torch.linalg.qr(tall, mode="r").R
            found[some] = torch.nn.functional.pad(R, (0, 0, 0, B - R.shape[1]))
    return found


def basis(triangle: torch.Tensor, drop: float) -> tuple[torch.Tensor, torch.Tensor]:
    """V Σ⁻¹ of each patch (S, B, B), with zero columns where dropped, and what is kept (S, B)."""
    _, values, rows = torch.linalg.svd(triangle)
    kept = values > drop * values[:, :1]
    inverse = torch.where(kept, 1.0 / values.clamp_min(1e-300), torch.zeros_like(values))
    return rows.mT * inverse[:, None, :], kept

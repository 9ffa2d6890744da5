"""Symmetric matrices of which half is read: panels of rows, each up to its block of the diagonal.

A panel fits into the cache, where it is used twice in a product: for its own rows, and as the
mirror image of what stands above the diagonal. An update computes and writes half of the matrix,
too. Where a matrix is small, or on a GPU, it is one panel.

Legend: D (n, n); a panel is D[a:e, :e]. What lies above the blocks D[a:e, a:e] is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

CACHE = 1 << 18  # float64 numbers of a panel: about the second-level cache of a CPU core
SMALL = 1 << 22  # of a matrix that is one panel: 32 MB, n = 2,048; about the third-level cache


def height(D: torch.Tensor) -> int:
    """The rows of a panel."""
    n = len(D)
    return max(n, 1) if n * n <= SMALL or D.device.type != "cpu" else CACHE // n


def panels(D: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """The rows of each panel, and the panel."""
    n, step = len(D), height(D)
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        yield rows, D[rows, : rows.stop]


def product(D: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """D v, shape (n,)."""
    if height(D) >= len(D):
        return D @ v
    found = torch.empty_like(v)
    for rows, panel in panels(D):
        torch.mv(panel, v[: rows.stop], out=found[rows])
        if rows.start:
            found[: rows.start].addmv_(panel[:, : rows.start].T, v[rows])
    return found


def add(D: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float) -> torch.Tensor:
    """D ← scale D + left right, a symmetric product of (n, k) and (k, n)."""
    for rows, panel in panels(D):
        panel.addmm_(left[rows], right[:, : rows.stop], beta=scale)
    return D


def symmetrise(D: torch.Tensor) -> None:
    """Repair what round-off does to the blocks of the diagonal."""
    for rows, panel in panels(D):
        block = panel[:, rows.start :]
        block.copy_(0.5 * (block + block.T))


def whole(D: torch.Tensor) -> torch.Tensor:
    """D with its upper part written from the lower one."""
    for rows, panel in panels(D):
        D[: rows.start, rows] = panel[:, : rows.start].T
    return D

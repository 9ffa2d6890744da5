"""Levels: an order of the patches in which JᵀJ is block-tridiagonal.

Patches of one level lie in one row (plane) of nodes across an axis. Two patches that touch the same
cell lie in the same level or in neighbouring ones. A periodic axis is folded: rows i and N − i
share a level, so that the row that closes the circle is a neighbour, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid


def level_of(grid: Grid, axis: int) -> torch.Tensor:
    """The level of each patch across an axis, shape (S,); of those around nodes."""
    place = grid.patch_position(torch.arange(grid.local))[:, axis]
    if axis not in grid.periodic:
        return place
    n = grid.patch_shape[axis]
    return torch.minimum(place, n - place)


def axis_of_least_work(grid: Grid, active: torch.Tensor) -> int:
    """The axis across which the levels cost least: about Σ over levels of (patches in it)³."""

    def work(axis: int) -> float:
        sizes = torch.bincount(level_of(grid, axis)[active]).double()
        return float((sizes**3).sum())

    return min(range(grid.dimensions), key=work)


def levels(grid: Grid, active: torch.Tensor) -> list[torch.Tensor]:
    """The active patches (S,) level by level; the one that covers everything is in none."""
    active = active[: grid.local]
    level = level_of(grid, axis_of_least_work(grid, active))
    found = [(active & (level == one)).nonzero().flatten() for one in range(int(level.max()) + 1)]
    return [one for one in found if len(one)]

"""Points of the equation in a domain that is no box: whole cells, and cells that its boundary cuts.

A point outside has weight zero. In a cut cell the rule is finer, so that about as many points lie
inside as in a whole cell, and the patches there are fixed as well as the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ddopt_patches.quadrature import Points, interior, rule, scattered

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid

FINEST = 4  # times the points along an axis of space


def points_inside(
    grid: Grid, count: int, inside: Callable[[torch.Tensor], torch.Tensor], space: int
) -> list[Points]:
    """Gauss points, count^d in whole cells and at least about as many in cut ones.

    Args:
        count: points along an axis.
        inside: which points (.., d) lie in the domain.
        space: the axes that the boundary cuts, the first ones; time is not among them.

    Raises ``ValueError`` where no point lies inside.
    """
    plain = interior(grid, count)
    mask = inside(plain.x)
    found = []
    if bool(mask.all(1).any()):
        found.append(plain.where(mask & mask.all(1, keepdim=True)))
    cut = (~mask.all(1)).nonzero().flatten()
    x, roots = _finer(grid, cut, count, inside, space)
    if len(x):
        found.append(scattered(grid, x, roots))
    if not found:
        raise ValueError("no point of the patches lies in the domain; move the nodes there")
    return found


def _finer(
    grid: Grid,
    cells: torch.Tensor,
    count: int,
    inside: Callable[[torch.Tensor], torch.Tensor],
    space: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The inner points of cut cells: each with the coarsest rule that has enough of them."""

    def at(some: torch.Tensor, times: int) -> tuple[Points, torch.Tensor]:
        counts = [count * times if a < space else count for a in range(grid.dimensions)]
        points = rule(grid, some, counts)
        return points, inside(points.x)

    share = torch.zeros(len(cells), dtype=torch.float64)
    if len(cells):
        share = at(cells, FINEST)[1].double().mean(1)
    x, roots = [grid.bounds.new_zeros(0, grid.dimensions)], [grid.bounds.new_zeros(0)]
    times = share.clamp_min(1e-9).pow(-1.0 / space).clamp_max(FINEST)
    for finer in range(1, FINEST + 1):
        some = cells[(share > 0) & ((times - 1e-9).ceil().clamp_min(1.0) == finer)]
        if len(some):
            points, mask = at(some, finer)
            x.append(points.x[mask])
            roots.append(points.roots[mask])
    return torch.cat(x), torch.cat(roots)


def enough(unknowns: int, points: int, equations: int, ratio: float, axes: int) -> float:
    """By which factor the points along an axis must grow to have ``ratio`` rows an unknown."""
    return math.pow(ratio * unknowns / max(points * equations, 1), 1.0 / axes)

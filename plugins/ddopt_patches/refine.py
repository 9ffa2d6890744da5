"""Adaptive refinement: cells are split where the residual on points of its own says so.

A tensor grid is refined by slices, all cells between two nodes of one axis. The squared residual of
a cell is shared out to the axes in proportion to how badly u is resolved along each: by what the
highest Legendre coefficients of u hold along it (decay of coefficients as an anisotropic indicator:
Mavriplis 1994; Houston and Suli 2005). A slice is worth what it collects for each unknown that its
split adds; the best ones are split until a share of the residual is dealt with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field

from ddopt.numerics.randomness import generator
from ddopt.setup.component import Settings
from ddopt_patches.quadrature import Points, gauss
from ddopt_patches.rows import Rows

if TYPE_CHECKING:
    from ddopt_patches.equation import Equation
    from ddopt_patches.grid import Grid
    from ddopt_patches.network import Patches

MODES = 8  # Legendre polynomials along an axis, of which the upper half are the tail
POINTS = 40  # random points of a cell
TINY = 1e-300
Function = Callable[[torch.Tensor], torch.Tensor]


class Refine(Settings):
    """How far a grid is refined."""

    rounds: int = Field(0, ge=0, description="how often cells are split, at most; 0: never")
    most: int = Field(16_000, ge=1, description="unknowns that are not to be passed")
    share: float = Field(
        0.9, gt=0.0, le=1.0, description="of the squared residual whose cells are split"
    )
    goal: float = Field(
        0.0, ge=0.0, description="mean squared residual at random points that is small enough"
    )


def validation(patches: Patches, equation: Equation, inside: Function, seed: int) -> Rows:
    """The equation at random points of every cell, which are not those of a fit."""
    grid = patches.grid
    cells = torch.arange(grid.cells)
    chance = generator(seed, "patches", "validation")
    shape = (grid.cells, POINTS, grid.dimensions)
    t = torch.rand(shape, generator=chance, dtype=torch.float64)
    widths = grid.widths(cells)
    x = grid.lower(cells)[:, None] + t * widths[:, None]
    roots = (widths.prod(1) / POINTS).sqrt()[:, None].expand(grid.cells, POINTS)
    return Rows(patches, Points(cells, x, roots).where(inside(x)), equation)


def by_cell(rows: Rows, weights: torch.Tensor, cells: int) -> torch.Tensor:
    """The integral of the squared residual over each cell, shape (cells,)."""
    found = torch.zeros(cells, dtype=torch.float64)
    return found.index_add_(0, rows.points.cells, rows.residuals(weights).square().sum(1))


def tails(grid: Grid, u: Function) -> torch.Tensor:
    """How badly u is resolved along each axis of each cell: (cells, d), adding up to 1."""
    x, w = gauss(MODES)
    d, cells = grid.dimensions, torch.arange(grid.cells)
    t = torch.cartesian_prod(*[x] * d).view(-1, d)
    at = grid.lower(cells)[:, None] + t * grid.widths(cells)[:, None]
    values = u(at.flatten(0, 1)).view(grid.cells, *[MODES] * d, -1)
    basis = torch.from_numpy(np.polynomial.legendre.legvander(2.0 * x.numpy() - 1.0, MODES - 1))
    basis = basis * (2.0 * torch.arange(MODES) + 1.0).sqrt() * w[:, None]  # orthonormal, weighted
    for axis in range(1, d + 1):
        values = torch.tensordot(values, basis, ([axis], [0])).movedim(-1, axis)
    energy = values.square().sum(-1)  # (cells, modes, .., modes)
    found = []
    for axis in range(1, d + 1):
        high = energy.narrow(axis, MODES // 2, MODES - MODES // 2)
        found.append(high.flatten(1).sum(1))
    tail = torch.stack(found, 1) + TINY
    return tail / tail.sum(1, keepdim=True)


def split(
    grid: Grid, residuals: torch.Tensor, shares: torch.Tensor, share: float
) -> list[torch.Tensor]:
    """The nodes of the finer grid.

    Args:
        grid: the coarse one.
        residuals: the squared residual of each cell, (cells,).
        shares: of each axis in it, (cells, d).
        share: of the whole squared residual that the split slices are to hold.
    """
    worth = (residuals[:, None] * shares).view(*grid.cell_shape, grid.dimensions)
    slices, each = [], []
    for axis in range(grid.dimensions):
        others = [a for a in range(grid.dimensions) if a != axis]
        collected = worth[..., axis].sum(others) if others else worth[..., axis]
        added = grid.patches / grid.patch_shape[axis]
        slices += [(axis, k) for k in range(len(collected))]
        each.append(torch.stack([collected, collected / added], 1))
    table = torch.cat(each)
    order = table[:, 1].argsort(descending=True, stable=True)
    before = table[order, 0].cumsum(0) - table[order, 0]
    chosen = order[before < share * table[:, 0].sum()].tolist()
    nodes = list(grid.nodes)
    for axis in range(grid.dimensions):
        own = [slices[k][1] for k in chosen if slices[k][0] == axis]
        v = grid.nodes[axis]
        middles = (v[own] + v[[k + 1 for k in own]]) / 2.0
        nodes[axis] = torch.cat([v, middles]).sort().values
    return nodes


def finer(
    patches: Patches,
    weights: torch.Tensor,
    equation: Equation,
    inside: Function,
    options: Refine,
    seed: int,
) -> tuple[list[torch.Tensor] | None, float]:
    """The nodes of a finer grid, or None where this one will do; the residual that decided it.

    ``inside`` says which points count. The residual is the mean squared one at random points.
    """
    from ddopt_patches.network import FBPINN

    grid = patches.grid
    rows = validation(patches, equation, inside, seed)
    residuals = by_cell(rows, weights, grid.cells)
    mean = float(residuals.sum() / rows.roots.square().sum())
    if mean <= options.goal:
        return None, mean
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(weights)
    with torch.no_grad():
        nodes = split(grid, residuals, tails(grid, net), options.share)
    counts = [len(v) - (axis in grid.periodic) for axis, v in enumerate(nodes)]
    if int(np.prod(counts)) * patches.block > options.most:
        return None, mean
    return nodes, mean

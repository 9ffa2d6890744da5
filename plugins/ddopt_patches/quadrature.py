"""Where the residuals are asked for: Gauss points of cells and faces, and points from elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid
    from ddopt_patches.network import Patches


@dataclass(frozen=True)
class Points:
    """Points by cell: P of each of G cells, with the square roots of their quadrature weights.

    A point of weight zero is no row: it pads a cell that has fewer points, or lies outside.
    """

    cells: torch.Tensor  # (G,), each cell once
    x: torch.Tensor  # (G, P, d)
    roots: torch.Tensor  # (G, P), √weight

    @property
    def count(self) -> int:
        """The number of points that count."""
        return int((self.roots > 0).sum())

    def where(self, mask: torch.Tensor) -> Points:
        """Those for which ``mask`` (G, P) holds; cells without any are left out."""
        roots = torch.where(mask, self.roots, torch.zeros_like(self.roots))
        kept = (roots > 0).any(1)
        return Points(self.cells[kept], self.x[kept], roots[kept])


def gauss(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of the Gauss-Legendre rule on (0, 1), shapes (count,)."""
    x, w = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy((x + 1.0) / 2.0), torch.from_numpy(w / 2.0)


def points_an_axis(patches: Patches, equations: int, ratio: float) -> int:
    """The least number of Gauss points an axis of a cell with ``ratio`` rows an unknown.

    And enough to see what a patch can represent along an axis: K features stand for the polynomials
    of a degree p, (p + d choose d) <= K, and p + d points are asked for. In up to two dimensions
    two rows an unknown give them anyway. In three they do not, and then features fit the points: a
    wave on a cube, 84 features, 7 points: an error of 2.9e-6, 8 points: 5.3e-7.
    """
    grid, d = patches.grid, patches.grid.dimensions
    degree = 0
    while math.comb(degree + 1 + d, d) <= patches.features:
        degree += 1
    needed = (ratio * patches.unknowns / (grid.cells * equations)) ** (1.0 / d)
    return max(2, math.ceil(needed - 1e-9), degree + d if d > 2 else 0)


def interior(grid: Grid, count: int) -> Points:
    """count^d Gauss points in every cell; their weights add up to the volume."""
    return rule(grid, torch.arange(grid.cells), [count] * grid.dimensions)


def face(grid: Grid, axis: int, upper: bool, count: int) -> Points:
    """count^(d−1) Gauss points on the face of every cell at one end of an axis."""
    cells = torch.arange(grid.cells)
    end = grid.cell_shape[axis] - 1 if upper else 0
    cells = cells[grid.cell_position(cells)[:, axis] == end]
    counts = [1 if a == axis else count for a in range(grid.dimensions)]
    found = rule(grid, cells, counts, flat=axis)
    found.x[..., axis] = float(grid.nodes[axis][-1 if upper else 0])
    return found


def rule(grid: Grid, cells: torch.Tensor, counts: list[int], flat: int = -1) -> Points:
    """A product of Gauss rules in some cells; ``flat`` is an axis that the weights leave out."""
    rules = [gauss(n) for n in counts]
    places = torch.tensor(list(product(*(x.tolist() for x, _ in rules))), dtype=torch.float64)
    weights = torch.ones(1, dtype=torch.float64)
    for a, (_, w) in enumerate(rules):
        weights = (weights[:, None] * (torch.ones_like(w) if a == flat else w)).flatten()
    width = grid.widths(cells)
    x = grid.lower(cells)[:, None] + places * width[:, None]
    sides = width.clone()
    if flat >= 0:
        sides[:, flat] = 1.0
    return Points(cells, x, (sides.prod(1)[:, None] * weights).sqrt())


def scattered(
    grid: Grid, x: torch.Tensor, roots: torch.Tensor, inner: torch.Tensor | None = None
) -> Points:
    """Points ``x`` (points, d) with the roots (points,) of their weights, sorted into cells.

    Cells with fewer points than others are padded by their middle, with weight zero. ``inner``
    (points, d) say which cell is meant, where points lie between two.
    """
    number = grid.locate(x if inner is None else inner)
    cells, owner, counts = torch.unique(number, return_inverse=True, return_counts=True)
    order = torch.argsort(owner, stable=True)
    first = torch.cumsum(counts, 0) - counts
    slot = torch.arange(len(x)) - first[owner[order]]
    middle = grid.lower(cells) + grid.widths(cells) / 2
    most = int(counts.max()) if len(x) else 0
    places = middle[:, None].repeat(1, most, 1)
    weights = torch.zeros(len(cells), most, dtype=torch.float64)
    places[owner[order], slot] = x[order].double()
    weights[owner[order], slot] = roots[order].double()
    return Points(cells, places, weights)

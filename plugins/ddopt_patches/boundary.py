"""The boundary of a domain in the plane: Gauss points of its stretches, cell by cell, with normals.

A stretch is a piece of a curve that lies in one cell and bounds the domain: of the two places just
beside it one is inside, the other is not. So domains are put together as one likes; a side that two
parts share is no boundary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial import cKDTree

from ddopt_patches.quadrature import Points, gauss, scattered

if TYPE_CHECKING:
    from ddopt_patches.curves import Curve
    from ddopt_patches.grid import Grid

ASIDE = 1e-7  # of the grid's extent: where one looks whether a place is inside
SAMPLES = 40  # of a curve for each cell of an axis; a stretch between two of them may be missed
HALVINGS = 45  # until the end of a stretch is known
Inside = Callable[[torch.Tensor], torch.Tensor]  # (points, 2) -> (points,)


@dataclass(frozen=True)
class Boundary:
    """Weighted points on the boundary of a domain, and, with time, at points of every time."""

    x: torch.Tensor  # (points, d)
    inner: torch.Tensor  # (points, d), a little inside: which cell it is
    roots: torch.Tensor  # (points,), √(arc length × time)
    outward: torch.Tensor  # (points, d), unit normals; zero along time

    def where(self, grid: Grid, mask: np.ndarray) -> Points:
        """The points for which ``mask`` (points,) holds, by cell."""
        kept = torch.from_numpy(mask)
        return scattered(grid, self.x[kept], self.roots[kept], self.inner[kept])

    def normals(self, x: np.ndarray) -> np.ndarray:
        """The outward normals at points (points, d) of this boundary, (points, d)."""
        _, nearest = self._tree.query(x)
        found: np.ndarray = self.outward.numpy()[nearest]
        return found

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.x.numpy())


def boundary(grid: Grid, curves: list[Curve], inside: Inside, count: int) -> Boundary:
    """``count`` Gauss points on every stretch; the first two axes are space, a third is time."""
    extent = float((grid.bounds[:2, 1] - grid.bounds[:2, 0]).max())
    aside = ASIDE * extent
    found = [_on_curve(grid, curve, inside, count, aside) for curve in curves]
    x, roots, outward = (torch.from_numpy(np.concatenate(one)) for one in zip(*found, strict=True))
    if not len(x):
        raise ValueError(
            "no boundary of the domain lies in the patches: its curves have the domain on both "
            "sides, or on neither; look at the geometry"
        )
    for axis in range(2, grid.dimensions):
        x, roots, outward = _through(grid, axis, x, roots, outward, count)
    inner = (x - aside * outward).clamp(grid.bounds[:, 0], grid.bounds[:, 1])
    return Boundary(x, inner, roots, outward)


def _on_curve(
    grid: Grid, curve: Curve, inside: Inside, count: int, aside: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, √weights and outward normals on one curve."""
    samples = SAMPLES * sum(grid.cell_shape[:2])
    t = (np.arange(samples) + 0.5) / samples
    ends = _breaks(lambda s: _label(grid, curve, inside, s, aside), t)
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    bounds = _label(grid, curve, inside, middle, aside) >= 0
    nodes, weights = (one.numpy() for one in gauss(count))
    places = (middle[bounds, None] + half[bounds, None] * (2 * nodes - 1)).flatten()
    lengths = (2 * half[bounds, None] * weights).flatten()
    x, tangent = curve(places)
    speed = np.linalg.norm(tangent, axis=1, keepdims=True)
    outward = np.stack([tangent[:, 1], -tangent[:, 0]], 1) / speed
    inward = inside(torch.from_numpy(x + aside * outward)).numpy()
    outward[inward] *= -1.0
    return x, np.sqrt(lengths * speed[:, 0]), outward


def _label(grid: Grid, curve: Curve, inside: Inside, t: np.ndarray, aside: float) -> np.ndarray:
    """The cell on the inner side, or −1 where the curve does not bound the domain."""
    x, tangent = curve(t)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1)
    normal = aside * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    right, left = (inside(torch.from_numpy(x + s * normal)).numpy() for s in (1.0, -1.0))
    inner = x + np.where(right[:, None], normal, -normal)
    cell = np.zeros(len(t), dtype=int)
    covered = np.ones(len(t), dtype=bool)
    for axis in range(2):
        nodes = grid.nodes[axis].numpy()
        slack = 3.0 * aside  # where two curves meet, the inner side of one is beyond the other
        covered &= (inner[:, axis] > nodes[0] - slack) & (inner[:, axis] < nodes[-1] + slack)
        place = np.searchsorted(nodes, inner[:, axis], side="right") - 1
        cell = cell * (len(nodes) - 1) + np.clip(place, 0, len(nodes) - 2)
    bounds = right != left
    if bool((bounds & ~covered).any()):
        first = x[(bounds & ~covered).argmax()].round(6).tolist()
        raise ValueError(
            f"the boundary of the domain leaves the patches, at {first} for example; extend the "
            "nodes until they cover the domain"
        )
    return np.where(bounds, cell, -1)


def _breaks(label: Callable[[np.ndarray], np.ndarray], t: np.ndarray) -> np.ndarray:
    """0, the places between samples ``t`` where the label changes, and 1."""
    labels = label(t)
    change = (labels[1:] != labels[:-1]).nonzero()[0]
    low, high, before = t[change].copy(), t[change + 1].copy(), labels[change]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        same = label(middle) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.concatenate([[0.0], (low + high) / 2, [1.0]])


def _through(
    grid: Grid,
    axis: int,
    x: torch.Tensor,
    roots: torch.Tensor,
    outward: torch.Tensor,
    count: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every point at the Gauss points of every cell of a further axis."""
    nodes, weights = gauss(count)
    v = grid.nodes[axis]
    places = (v[:-1, None] + v.diff()[:, None] * nodes).flatten()
    times = (v.diff()[:, None] * weights).flatten().sqrt()
    n, m = len(x), len(places)
    x = torch.cat([x.repeat_interleave(m, 0), places.repeat(n)[:, None]], 1)
    outward = torch.cat([outward.repeat_interleave(m, 0), x.new_zeros(n * m, 1)], 1)
    return x, (roots[:, None] * times).flatten(), outward

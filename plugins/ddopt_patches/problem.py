"""A system of patches as a problem of ddopt: f(θ) = Σ ‖r‖², with θ the output weights in one
vector.

The objective of some patches, the others held, needs only the rows that touch them
(``PatchProblem.frozen``): it is f itself but for rounding, at the cost of its share of the rows.
"""

from __future__ import annotations

import math
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.numerics.space import Indices, Layout
from ddopt_patches.block import Block
from ddopt_patches.least_squares import LeastSquares
from ddopt_patches.regions import regions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ddopt_patches.bordered import Bordered
    from ddopt_patches.regions import Region
    from ddopt_patches.rows import Rows
    from ddopt_patches.system import System

JACOBIAN = 3.0  # evaluations: the derivatives of the features are at hand
NAME = "weights"  # of the one tensor that moves


class Blocky(Problem):
    """f = ‖r‖² with a Jacobian that is sparse by patches; what ``block_gauss_newton`` needs."""

    charged = MappingProxyType({"by_cells": JACOBIAN, "factorised": JACOBIAN, "groups": 1.0})
    levels: Sequence[torch.Tensor]  # an order of the patches, see ``levels``
    patches: int  # S; a vector (n,) is (S B,), patch by patch

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f."""
        raise self._missing("be evaluated", "at")

    def by_cells(self, theta: torch.Tensor) -> tuple[list[torch.Tensor], list[Block]]:
        """The residuals of each group of rows and their Jacobian, new tensors at each call."""
        raise self._missing("give its Jacobian by cells", "by_cells")

    def groups(self, theta: torch.Tensor) -> list[torch.Tensor]:
        """The residuals alone."""
        raise self._missing("give its residuals by cells", "groups")

    def factorised(
        self, theta: torch.Tensor, drop: float, damping: float
    ) -> tuple[list[torch.Tensor], LeastSquares | Bordered]:
        """The residuals, and the linear least-squares problem that a step solves."""
        residuals, blocks = self.by_cells(theta)
        return residuals, LeastSquares(blocks, self.levels, self.patches, drop, damping)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,), detached."""
        return torch.cat([r.flatten() for r in self.groups(theta)])

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), dense: for few patches."""
        parts = []
        for block in self.by_cells(theta)[1]:
            G, C, rows, B = block.by_corner.shape
            full = block.by_corner.new_zeros(G, rows, self.patches, B)
            for k in range(C):
                full[torch.arange(G), :, block.patches[:, k]] += block.by_corner[:, k]
            parts.append(full.flatten(2).flatten(0, 1))
        return torch.cat(parts)[:, : self.layout.size].to(dtype)


class PatchProblem(Blocky):
    """f of all patches. Its samples are the points that count, group of rows by group of rows."""

    def __init__(self, system: System, cost: float = 1.0) -> None:
        self.system, self.cost = system, cost
        self._cut: dict[int, list[Region]] = {}  # by how many there are
        self._all = system  # whose points the samples number, also in parts of parts
        shape = torch.Size(system.zeros().shape)
        self.layout = Layout((NAME,), (shape,), torch.float64, torch.device("cpu"))
        self.samples = Samples.all(*(one.points.count for one in system.rows))
        self.levels, self.patches = system.levels, system.patches.grid.patches

    def _weights(self, theta: torch.Tensor) -> torch.Tensor:
        return theta.detach().view(self.layout.shapes[0])

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f; the gradient costs as much again when it is asked for."""
        return point_of(self.system.rows, theta, self._weights(theta))

    def both(self, theta: torch.Tensor) -> Point:
        """Evaluate f with its gradient."""
        found = [rows.gradient(self._weights(theta)) for rows in self.system.rows]
        gradient = torch.stack([g for _, g in found]).sum(0).flatten()
        return Point(theta, _total(r * r for r in self.groups(theta)), gradient)

    def groups(self, theta: torch.Tensor) -> list[torch.Tensor]:
        """The residuals of each group of rows, (G, P E)."""
        return self.system.residuals(self._weights(theta))

    def by_cells(self, theta: torch.Tensor) -> tuple[list[torch.Tensor], list[Block]]:
        """Residuals and Jacobians of each group."""
        return self.system.linearised(self._weights(theta))

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the points of a group lie, shape (points, d)."""
        points = self.system.rows[term].points
        return points.x[points.roots > 0]

    def share(self, samples: Samples) -> PatchProblem:
        """The contribution of some points to f."""
        return self._of(samples, [1.0] * len(samples.terms))

    def part(self, samples: Samples) -> PatchProblem:
        """f at some points: each group's mean over them stands for its mean over all."""
        assert self.samples is not None
        pairs = zip(self.samples.counts, samples.counts, strict=True)
        return self._of(samples, [(all_ / max(own, 1)) ** 0.5 for all_, own in pairs])

    def _of(self, samples: Samples, factors: list[float]) -> PatchProblem:
        other = copy(self)
        other.system = copy(self.system)
        other.system.rows = []
        for rows, index, factor in zip(self._all.rows, samples.terms, factors, strict=True):
            counted = (rows.points.roots > 0).flatten().nonzero().flatten()
            chosen = torch.zeros(rows.points.roots.numel(), dtype=torch.float64)
            chosen[counted[index]] = factor
            if len(index):
                other.system.rows.append(rows.weighted(chosen.view(rows.points.roots.shape)))
        other.samples = samples
        assert self.samples is not None
        other.cost = self.cost * len(samples) / max(len(self.samples), 1)
        return other

    def own_share(self, d: int, count: int) -> RegionProblem:
        """The rows of the d-th of ``count`` boxes of cells (``regions``).

        Raises ``ValueError`` for more boxes than cells, and for a coarse network, which every
        region would see.
        """
        if self.system.patches.grid.whole:
            raise ValueError(
                "a coarse network over the whole domain belongs to no region; make the patches "
                "without coarse (regions have a coarse space of their own), or take the strategy "
                "'patches'"
            )
        if count not in self._cut:
            work = torch.zeros(self.system.patches.grid.cells, dtype=torch.float64)
            for rows in self.system.rows:
                own = (rows.points.roots > 0).sum(1) * rows.equation.equations
                work.index_add_(0, rows.points.cells, own.double())
            self._cut[count] = regions(self.system.patches.grid, work, count)
        return RegionProblem(self, self._cut[count], d)

    def frozen(self, point: Point, indices: Indices) -> Problem | None:
        """Whole patches see only the rows that touch them."""
        moving = self._whole_patches(indices) if indices is not None else None
        return None if moving is None else LocalProblem(self, point, moving)

    def _whole_patches(self, indices: Indices) -> torch.Tensor | None:
        """The patches whose parameters the indices are, in order; None for other parameters."""
        B = self.system.patches.block
        if isinstance(indices, slice):
            indices = torch.arange(indices.start, indices.stop)
        assert indices is not None
        first = indices[::B]
        wanted = (first[:, None] + torch.arange(B)).flatten()
        whole = len(indices) % B == 0 and bool((first % B == 0).all())
        return first // B if whole and torch.equal(wanted, indices.cpu()) else None


class RegionProblem(PatchProblem):
    """What the rows of one region contribute to f."""

    def __init__(self, whole: PatchProblem, regions: list[Region], d: int) -> None:
        self.regions, self.region = regions, regions[d]
        super().__init__(whole.system.among(self.region.cells))
        self.cost = whole.cost * self.system.count / whole.system.count


class LocalProblem(Blocky):
    """f as a function of the parameters of some patches, the others held at a point.

    Equal to f up to rounding: what the rows elsewhere contribute does not change, and is added
    once.
    """

    def __init__(self, whole: PatchProblem, point: Point, moving: torch.Tensor) -> None:
        system = whole.system
        S, B = whole.patches, system.patches.block
        self._moving = moving
        self._held = point.theta.detach().view(whole.layout.shapes[0])
        number = torch.full((S,), len(moving))  # a patch that is held: one past the last
        number[moving] = torch.arange(len(moving))
        self._number = number
        self._rows = []
        for rows in system.rows:
            kept = (number[rows.touched] < len(moving)).any(1)
            if bool(kept.any()):
                self._rows.append(rows.among(kept))
        indices = (moving[:, None] * B + torch.arange(B)).flatten()
        self.layout = whole.layout.restricted(indices)
        self.samples, self.patches = whole.samples, len(moving) + 1
        self.levels = [number[own[number[own] < len(moving)]] for own in system.levels]
        self.levels = [own for own in self.levels if len(own)]
        self.cost = whole.cost * sum(rows.count for rows in self._rows) / system.count
        here = _total(r * r for r in self._groups(self._held))
        self._elsewhere = point.value - here

    def _weights(self, theta: torch.Tensor) -> torch.Tensor:
        weights = self._held.clone()
        weights[self._moving] = theta.detach().view(len(self._moving), *weights.shape[1:])
        return weights

    def _groups(self, weights: torch.Tensor) -> list[torch.Tensor]:
        return [rows.residuals(weights) for rows in self._rows]

    def groups(self, theta: torch.Tensor) -> list[torch.Tensor]:
        """The residuals of the rows that touch the moving patches."""
        return self._groups(self._weights(theta))

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f from the rows that change."""
        found = point_of(self._rows, theta, self._weights(theta))
        moving = self._moving

        def gradient() -> torch.Tensor:
            whole = found.gradient.view(self._held.shape)
            return whole[moving].flatten()

        return Point(theta, self._elsewhere + found.value, gradient)

    def by_cells(self, theta: torch.Tensor) -> tuple[list[torch.Tensor], list[Block]]:
        """Residuals and Jacobians with respect to the moving patches, which are numbered anew."""
        found = [rows.linearised(self._weights(theta)) for rows in self._rows]
        blocks = []
        for _, block in found:
            own = self._number[block.patches]
            held = own == len(self._moving)
            block.by_corner[held] = 0.0
            blocks.append(Block(own, block.by_corner))
        return [r for r, _ in found], blocks


def point_of(rows: Sequence[Rows], theta: torch.Tensor, weights: torch.Tensor) -> Point:
    """‖r‖² of groups of rows at ``weights``; the gradient (n,) when it is asked for."""
    value = _total(r * r for r in (one.residuals(weights) for one in rows))

    def gradient() -> torch.Tensor:
        parts = [one.gradient(weights)[1] for one in rows]
        return torch.stack(parts).sum(0).flatten()

    return Point(theta, value, gradient)


def _total(squares: Iterable[torch.Tensor]) -> float:
    return math.fsum(float(one.sum()) for one in squares)

"""All residuals of a problem on patches: f(c) = Σ ‖r‖² over groups of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ddopt_patches.levels import levels

if TYPE_CHECKING:
    from ddopt_patches.block import Block
    from ddopt_patches.network import Patches
    from ddopt_patches.rows import Rows

FEWEST = 2.0  # rows an unknown: with fewer, features fit the points and not the solution


class System:
    """The rows of the equation and of the conditions, on the same patches.

    Raises ``ValueError`` where there are fewer than ``FEWEST`` rows an unknown, or a patch that the
    equation is asked for nowhere in.
    """

    def __init__(self, patches: Patches, rows: Sequence[Rows]) -> None:
        self.patches, self.rows = patches, list(rows)
        m = self.count
        touched = torch.zeros(patches.grid.patches, dtype=torch.bool)
        for one in self.rows:
            touched[one.touched.flatten()] = True
        self.active = touched  # (S,): patches that some row touches
        if not bool(touched.any()):
            raise ValueError("no point lies in any patch; give points, or move the nodes")
        self._anchored()
        n = int(touched.sum()) * patches.block
        if m < FEWEST * n * (1.0 - 1e-9):
            raise ValueError(
                f"{m} rows cannot fix {n} unknowns ({int(touched.sum())} patches of "
                f"{patches.block}): give {FEWEST:g} rows an unknown, by more points, fewer "
                "features, or fewer patches"
            )

    def among(self, cells: torch.Tensor) -> System:
        """The rows of some cells (cells of the grid,); they need not fix the patches they touch."""
        other = copy(self)
        other.__dict__.pop("levels", None)
        kept = [rows.among(cells[rows.points.cells]) for rows in self.rows]
        other.rows = [rows for rows in kept if len(rows.points.cells)]
        other.active = torch.zeros_like(self.active)
        for rows in other.rows:
            other.active[rows.touched.flatten()] = True
        return other

    def _anchored(self) -> None:
        """Refuse an output of which derivatives alone are asked for."""
        fixed = torch.stack([one.equation.fixes for one in self.rows]).any(0)
        if not bool(fixed.all()):
            o = int((~fixed).nonzero()[0])
            raise ValueError(
                f"nothing fixes the constant in output {o}: equations and conditions ask for its "
                "derivatives alone. Give its value at a point: "
                f"dde.icbc.PointSetBC(np.array([[..]]), np.array([[0.0]]), component={o})"
            )

    @cached_property
    def levels(self) -> list[torch.Tensor]:
        """The patches that some row touches, level by level; one where a row may touch all."""
        if any(one.everywhere for one in self.rows):
            return [self.active.nonzero().flatten()]
        return levels(self.patches.grid, self.active)

    @property
    def count(self) -> int:
        """m, the number of rows."""
        return sum(one.count for one in self.rows)

    def zeros(self) -> torch.Tensor:
        """The unknowns of all patches with output weights that are zero."""
        p = self.patches
        return p.joined(p.W.new_zeros(p.grid.patches, p.outputs, p.features))

    def residuals(self, weights: torch.Tensor) -> list[torch.Tensor]:
        """The weighted residuals of each group of rows, (G, P E) each."""
        return [one.residuals(weights) for one in self.rows]

    def linearised(self, weights: torch.Tensor) -> tuple[list[torch.Tensor], list[Block]]:
        """Residuals and Jacobians of each group."""
        found = [one.linearised(weights) for one in self.rows]
        return [r for r, _ in found], [block for _, block in found]

    def linearised_about(
        self, jets: Callable[[torch.Tensor, int], torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[Block]]:
        """The same about any function, given by its jets ``(x, order) -> (.., outputs, Q)``."""
        found = [one.linearised_about(jets(one.points.x, one.order)) for one in self.rows]
        return [r for r, _ in found], [block for _, block in found]


def squares(residuals: Sequence[torch.Tensor]) -> float:
    """‖r‖²."""
    return sum(by_group(residuals))


def by_group(residuals: Sequence[torch.Tensor]) -> list[float]:
    """‖r‖² of each group of rows."""
    return [float((r * r).sum()) for r in residuals]


def as_promised(found: Sequence[float], promised: Sequence[float], exact: float) -> bool:
    """Whether ‖r‖² of each group of rows is what was promised, to a share ``exact``.

    Of each, because one group may hide another: the noise of observations is larger by far than
    what is left of the equation, and says nothing about it.
    """
    pairs = zip(found, promised, strict=True)
    return all(abs(a - b) <= exact * a for a, b in pairs)

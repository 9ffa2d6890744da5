"""A problem on patches with unknown numbers: θ is the output weights, and then the numbers.

The equation reads the numbers as leaves of autograd's graph (a ``dde.Variable``, or arguments by
name); an evaluation at θ writes them first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.problem import Point, Problem
from ddopt.numerics.space import Layout
from ddopt_patches.bordered import Bordered, columns, sensitivities
from ddopt_patches.least_squares import LeastSquares
from ddopt_patches.problem import PatchProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ddopt.numerics.space import Indices
    from ddopt_patches.system import System


class InverseProblem(PatchProblem):
    """f of all patches and of unknown numbers; without numbers a ``PatchProblem``.

    Raises ``ValueError`` for a number that nothing reads.

    Args:
        system: the rows, of equations that read ``unknown``.
        unknown: the numbers by name, float64 tensors of no dimension or of one entry.
    """

    def __init__(self, system: System, unknown: Mapping[str, torch.Tensor], cost: float = 1.0):
        super().__init__(system, cost)
        self.unknown = dict(unknown)
        whole = self.layout
        shapes = tuple(one.shape for one in self.unknown.values())
        self.layout = Layout(
            (*whole.names, *self.unknown), (*whole.shapes, *shapes), whole.dtype, whole.device
        )

        sought = list(self.unknown.values())
        if sought and any(one.everywhere for one in system.rows):
            raise ValueError(
                f"the numbers {', '.join(self.unknown)} are looked for beside an equation that "
                "needs u at other points than its own, which is not supported; give their values, "
                "or train the network by model.compile(ddopt.LevenbergMarquardt(..))"
            )
        read = [
            sensitivities(one.equation, *one.equation.probe(), sought)
            for one in (system.rows if sought else [])
        ]
        for i, name in enumerate(self.unknown):
            if not any(bool(one[..., i].any()) for one in read):
                raise ValueError(
                    f"no equation and no condition reads the unknown number {name!r}; use it "
                    "there, or leave it out"
                )

    def _weights(self, theta: torch.Tensor) -> torch.Tensor:
        """The output weights; the numbers are written where the equation reads them."""
        shape, theta = self.layout.shapes[0], theta.detach()
        size = shape.numel()
        for one, value in zip(self.unknown.values(), theta[size:], strict=True):
            one.data.fill_(value)
        return theta[:size].view(shape)

    def _columns(self, weights: torch.Tensor) -> list[torch.Tensor]:
        unknown = list(self.unknown.values())
        return [columns(rows, weights, unknown) for rows in self.system.rows]

    def _extended(self, point: Point) -> Point:
        """The point with the derivatives by the numbers behind the others."""
        if not self.unknown:
            return point

        def gradient() -> torch.Tensor:
            weights = self._weights(point.theta)
            pairs = zip(self._columns(weights), self.groups(point.theta), strict=True)
            tail = torch.stack([2.0 * (one * r[..., None]).sum((0, 1)) for one, r in pairs])
            return torch.cat([point.gradient, tail.sum(0)])

        return Point(point.theta, point.value, gradient)

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f."""
        found = super().at(theta)

        def gradient() -> torch.Tensor:
            self._weights(theta)  # other numbers may have been read since
            return found.gradient

        return self._extended(Point(theta, found.value, gradient))

    def both(self, theta: torch.Tensor) -> Point:
        """Evaluate f with its gradient."""
        return self._extended(super().both(theta))

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), dense: for few patches."""
        whole = super().jacobian(theta, dtype)
        if not self.unknown:
            return whole
        tail = [one.flatten(0, 1) for one in self._columns(self._weights(theta))]
        return torch.cat([whole, torch.cat(tail).to(whole)], 1)

    def factorised(
        self, theta: torch.Tensor, drop: float, damping: float
    ) -> tuple[list[torch.Tensor], LeastSquares | Bordered]:
        """The linear problem of a step, bordered by the numbers."""
        residuals, inner = super().factorised(theta, drop, damping)
        if not self.unknown:
            return residuals, inner
        assert isinstance(inner, LeastSquares)
        return residuals, Bordered(inner, self._columns(self._weights(theta)))

    def frozen(self, point: Point, indices: Indices) -> Problem | None:
        """Some patches alone; no cheaper way where there are numbers, of which all rows know."""
        return None if self.unknown else super().frozen(point, indices)

"""The unit of f: a power of four, such that squares of the gradient are numbers.

Where f is of the size of 1e200 or 1e-200, its gradients are numbers and their inner products are
not. The same problem in another unit has the same steps, and where the unit is a power of two the
same bits; of four, because the residuals of a sum of squares carry its root.

Source: scaled sums of squares, Blue, ACM TOMS 4 (1978). Legend: c the factor, f̂ = c f.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.problem import Point
from ddopt.evaluation.scaled import Scaled

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.evaluation.problem import Problem
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.vectors import Geometry
    from ddopt.solver.solver import Answer

# log2 of the gradients that need no other unit, of those that need one again, and of the largest c.
SAFE = {torch.float64: (200, 400, 1000), torch.float32: (50, 100, 120)}
DRIFT = 2.0**100  # the unit is looked at again where |f| has changed by more than this


class Unit:
    """c, chosen at the first point and again where f has left its range. 1 for most problems."""

    def __init__(self) -> None:
        self.factor = 1.0
        self._value: float | None = None  # |f| where c was chosen
        self._end: Seen | None = None  # of the last call: a model of it may be at hand

    def settle(self, problem: Problem, start: Point) -> bool:
        """Choose c for iterations from ``start``; returns whether it is another one now."""
        value, before = abs(start.value), self._value
        if before is not None and before / DRIFT <= value <= before * DRIFT:
            return False
        self._value = value
        return self.fit(start.gradient, problem.geometry)

    def fit(self, gradient: torch.Tensor, geometry: Geometry) -> bool:
        """Choose c for vectors of the size of ``gradient`` (n,), unless c suits them already."""
        largest = geometry.length(gradient, "inf")
        if not 0.0 < largest < math.inf:
            return False
        exponent, old = math.frexp(largest)[1], math.frexp(self.factor)[1] - 1
        safe, wide, most = SAFE.get(gradient.dtype, SAFE[torch.float32])
        if abs(exponent + old) <= wide and (old or abs(exponent) <= safe):
            return False
        power = 0 if abs(exponent) <= safe else min(max(-exponent // 2 * 2, -most), most)
        self.factor = math.ldexp(1.0, power)
        return power != old

    def iterate(
        self, problem: Problem, start: Point, iterate: Callable[[Problem, Point], Asking[Answer]]
    ) -> Asking[Answer]:
        """Let ``iterate`` see f̂; the answer is of f."""
        if self.factor == 1.0:
            return (yield from iterate(problem, start))
        begin = self._end
        if begin is None or begin.whole is not start:
            begin = Seen(start, self.factor)
        answer = yield from iterate(InUnit(problem, self.factor), begin)
        assert isinstance(answer.end, Seen)
        self._end = answer.end
        return replace(answer, decrease=answer.decrease / self.factor, end=answer.end.whole)

    def state_dict(self) -> dict[str, Any]:
        """c, and |f| where it was chosen."""
        return {"factor": self.factor, "value": self._value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.factor, self._value, self._end = float(state["factor"]), state["value"], None


class Seen(Point):
    """A point of f, as f̂ has it."""

    def __init__(self, whole: Point, factor: float) -> None:
        super().__init__(
            whole.theta,
            lambda: factor * whole.value,
            lambda: factor * whole.gradient,
            whole.epsilon,
            whole.trace,
        )
        self.whole = whole


class InUnit(Scaled):
    """f̂, which remembers the points of f."""

    def __init__(self, problem: Problem, factor: float) -> None:
        super().__init__(problem, factor)
        self.extra = None if problem.extra is None else InUnit(problem.extra, factor)

    def _around(self, problem: Problem) -> InUnit:
        return InUnit(problem, self.factor)

    def _seen(self, theta: torch.Tensor, point: Point) -> Seen:
        return Seen(point, self.factor)

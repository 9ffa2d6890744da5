"""A multiple of a problem: c f, c > 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.evaluation.derived import Derived, held
from ddopt.evaluation.problem import Operator, Point, Problem

if TYPE_CHECKING:
    import torch

    from ddopt.numerics.space import Indices


class Scaled(Derived):
    """c f, with everything that f can do; its residuals are √c r."""

    def __init__(self, problem: Problem, factor: float) -> None:
        super().__init__(problem)
        self.factor = factor
        self.tilt = None if problem.tilt is None else factor * problem.tilt

    def _around(self, problem: Problem) -> Scaled:
        return Scaled(problem, self.factor)

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        return point.seen(theta, self.factor * point.value, lambda: self.factor * point.gradient)

    def frozen(self, point: Point, indices: Indices) -> Problem:
        """c f of the parameters in ``indices`` alone, as f has it."""
        return self._around(held(self.problem, point, indices))

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ c ∇²f v."""
        multiply = super().curvature(theta)
        return lambda v: self.factor * multiply(v)

    def generalised(self, theta: torch.Tensor) -> Operator:
        """v ↦ c G v."""
        multiply = super().generalised(theta)
        return lambda v: self.factor * multiply(v)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """√c r(θ)."""
        return self.factor**0.5 * super().residuals(theta)

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """√c ∂r/∂θ."""
        return self.factor**0.5 * super().jacobian(theta, dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ √c J v and w ↦ √c Jᵀw."""
        product, pullback = super().differential(theta)
        root = self.factor**0.5
        return (lambda v: root * product(v)), (lambda w: root * pullback(w))

"""A multiple of a problem: c f, c > 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.problem import Operator, Point, Problem

if TYPE_CHECKING:
    import torch


class Scaled(Problem):
    """c f, with everything that f can do; its residuals are √c r."""

    def __init__(self, problem: Problem, factor: float) -> None:
        self.problem, self.factor = problem, factor
        self.layout, self.samples, self.cost = problem.layout, problem.samples, problem.cost
        self.geometry, self.draw = problem.geometry, problem.draw
        self.tilt = None if problem.tilt is None else factor * problem.tilt

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate c f at ``theta`` (n,)."""
        point = self.problem.at(theta)
        return point.seen(theta, self.factor * point.value, lambda: self.factor * point.gradient)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ c ∇²f v."""
        multiply = self.problem.curvature(theta)
        return lambda v: self.factor * multiply(v)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """√c r(θ)."""
        return self.factor**0.5 * self.problem.residuals(theta)

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """√c ∂r/∂θ."""
        return self.factor**0.5 * self.problem.jacobian(theta, dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ √c J v and w ↦ √c Jᵀw."""
        product, pullback = self.problem.differential(theta)
        root = self.factor**0.5
        return (lambda v: root * product(v)), (lambda w: root * pullback(w))

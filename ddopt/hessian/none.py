"""No curvature: the first-order model m(p) = <g, p>."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ddopt.hessian.hessian import Ellipsoidal, Hessian
from ddopt.numerics.vectors import LOCAL, Geometry

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem


class Linear(Ellipsoidal):
    """B = 0: whatever the radius is, steepest descent up to the boundary is best."""

    def __init__(self, gradient: torch.Tensor, geometry: Geometry = LOCAL) -> None:
        self.gradient, self.geometry = gradient, geometry

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Zero."""
        return torch.zeros_like(vector)

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """−Δ g/‖g‖, which promises Δ‖g‖."""
        length = self.geometry.norm(self.gradient)
        if not 0.0 < length < math.inf:
            return torch.zeros_like(self.gradient), 0.0, 0.0
        return self.gradient / length * -radius, radius * length, radius


class NoCurvature(Hessian):
    """The model knows the gradient alone."""

    name = "none"
    learns = False

    def model(self, problem: Problem, point: Point) -> Linear:
        """The linear model at ``point``."""
        return Linear(point.gradient, problem.geometry)

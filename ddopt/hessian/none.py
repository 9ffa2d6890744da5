"""No curvature: the first-order model m(p) = <g, p>."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.hessian.hessian import Hessian, Model
from ddopt.vectors import LOCAL, Geometry

if TYPE_CHECKING:
    from ddopt.problem import Point, Problem


class Linear(Model):
    """B = 0."""

    def __init__(self, gradient: torch.Tensor, geometry: Geometry = LOCAL) -> None:
        self.gradient, self.geometry = gradient, geometry

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Zero."""
        return torch.zeros_like(vector)


class NoCurvature(Hessian):
    """The model knows the gradient alone."""

    name = "none"
    learns = False

    def model(self, problem: Problem, point: Point) -> Linear:
        """The linear model at ``point``."""
        return Linear(point.gradient, problem.geometry)

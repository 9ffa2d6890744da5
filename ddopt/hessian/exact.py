"""The exact Hessian, by products with vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.hessian.hessian import Hessian, Model
from ddopt.numerics.vectors import LOCAL, Geometry

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Operator, Point, Problem


class OperatorModel(Model):
    """B is known by its products with vectors."""

    def __init__(
        self, gradient: torch.Tensor, product: Operator, geometry: Geometry = LOCAL
    ) -> None:
        self.gradient, self._product, self.geometry = gradient, product, geometry

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """B v, shape (n,)."""
        return self._product(vector)


class Exact(Hessian):
    """∇²f(θ), for problems that can differentiate twice; goes with the subproblem ``steihaug``.

    A product is charged as two evaluations, the gradient that they are made from as one.
    """

    name = "exact"
    learns = False

    def model(self, problem: Problem, point: Point) -> OperatorModel:
        """The second-order Taylor model at ``point``."""
        product = problem.curvature(point.theta)
        return OperatorModel(point.gradient, product, problem.geometry)

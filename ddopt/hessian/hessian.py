"""Hessian approximations: what makes the quadratic model of a problem around a point."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ddopt.hessian.model import Diagonalised as Diagonalised
from ddopt.hessian.model import Ellipsoidal as Ellipsoidal
from ddopt.hessian.model import Model as Model
from ddopt.hessian.model import Regularised as Regularised
from ddopt.hessian.model import Unknown as Unknown
from ddopt.setup.component import Component

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.numerics.vectors import Geometry
    from ddopt.subproblem import Candidate


class Hessian(Component):
    """Makes models, and learns from the gradients of visited points.

    One object belongs to one solver of one subdomain; what it remembers is its state.
    """

    seam = "hessian"
    least_squares = False  # made from residuals
    learns = True  # from pairs; otherwise the gradients of rejected trials are not asked for

    @abstractmethod
    def model(self, problem: Problem, point: Point) -> Model:
        """The quadratic model of ``problem`` at ``point``."""

    def refine(
        self, problem: Problem, point: Point, candidate: Candidate, room: float
    ) -> Candidate:
        """A better step than the model's minimiser, of norm at most ``room``, if there is one."""
        return candidate

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the memory for vectors like ``like`` (n,)."""

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``: vectors may lie in pieces on several processes."""

    def expect(self, gradient: torch.Tensor) -> None:
        """Hear, ahead of ``update``, which gradient (n,) the next model will probably have.

        One pass over the memory may then serve both. Whether it does changes no bit.
        """

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Learn that the gradient changed by ``y`` (n,) along the step ``s`` (n,)."""

    def leave(self) -> None:
        """Let go of the last model: no later point is the one that it was made at."""

    def reset(self) -> None:
        """Forget everything: the problem has changed."""

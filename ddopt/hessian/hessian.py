"""Hessian approximations: the quadratic model of a problem around a point."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from ddopt.numerics.vectors import LOCAL, Geometry
from ddopt.setup.component import Component
from ddopt.subproblem.secular import BallMinimum

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.subproblem import Candidate


class Model(ABC):
    """m(p) = <g, p> + ½ <p, B p>, the change of f that is expected from a step p (n,)."""

    gradient: torch.Tensor  # g, shape (n,)
    geometry: Geometry = LOCAL  # of vectors (n,)

    @abstractmethod
    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """B v, shape (n,)."""


class Diagonalised(Model):
    """A model whose eigenvalues are at hand, so that it can be minimised exactly in a ball."""

    @abstractmethod
    def minimise(self, radius: float) -> tuple[torch.Tensor, BallMinimum]:
        """The global minimiser in ‖p‖ <= radius, shape (n,), and its certificate."""


class Unknown(Diagonalised):
    """The model where the curvature is not finite: it promises nan, and the trial is rejected."""

    def __init__(self, gradient: torch.Tensor, geometry: Geometry = LOCAL) -> None:
        self.gradient, self.geometry = gradient, geometry

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Not a number."""
        return vector * math.nan

    def minimise(self, radius: float) -> tuple[torch.Tensor, BallMinimum]:
        """No step, and the promise nan."""
        nothing = BallMinimum(np.zeros(0), math.nan, 0.0, 0.0, on_boundary=False, hard_case=False)
        return self.gradient.new_zeros(len(self.gradient)), nothing


class Ellipsoidal(Model):
    """A positive definite model, minimised in its own norm.

    In an ellipsoid ⟨p, B p⟩ <= r² the minimiser lies on the Newton direction, whatever r is; r is
    such that it stays within the ball (Conn, Gould and Toint, Trust-Region Methods, section 6.7).
    """

    @abstractmethod
    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """The step p (n,) with ‖p‖ <= radius, the decrease −m(p), and ‖p‖."""


class Regularised(Model):
    """A positive semidefinite model that is minimised by solves with B + σI, for a few σ."""

    @abstractmethod
    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """The step p (n,) with ‖p‖ <= radius, the decrease −m(p), and ‖p‖."""


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

    def reset(self) -> None:
        """Forget everything: the problem has changed."""

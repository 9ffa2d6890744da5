"""Quadratic models of f around a point, by how they can be minimised in a ball."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from ddopt.numerics.vectors import LOCAL, Geometry
from ddopt.subproblem.secular import BallMinimum

if TYPE_CHECKING:
    import torch


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

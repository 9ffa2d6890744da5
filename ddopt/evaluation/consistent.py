"""f made first-order consistent: the objective f̃_d of a subdomain.

Legend as in ``ddopt/evaluation/problem.py``.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from ddopt.evaluation.derived import Derived
from ddopt.evaluation.problem import Point, Problem, Samples

if TYPE_CHECKING:
    import torch


class Consistent(Derived):
    """f̃(θ) = f_d(θ) + <r, θ − θ_0>, so that ∇f̃(θ_0) is the restricted global gradient.

    ``wanted`` is R_d g_k, shape (n_d,). Source: arXiv 2502.05133, equations 3 and 4. The value and
    the gradient carry the same term; a local solver never knows that it is local. The term has no
    curvature and no residuals. A part of f̃ carries all of it, a share its share.
    """

    def __init__(self, problem: Problem, origin: Point, wanted: torch.Tensor) -> None:
        super().__init__(problem)
        self.origin = origin
        self._tilt_by(wanted - origin.gradient)
        self.start = origin.seen(origin.theta, origin.value, wanted)

    def _tilt_by(self, residual: torch.Tensor) -> None:
        self.residual = residual  # r_d, shape (n_d,)
        self.tilt = residual if self.tilt is None else residual + self.tilt

    def _around(self, problem: Problem, weight: float = 1.0) -> Consistent:
        other = copy(self)
        Derived.__init__(other, problem)
        other._tilt_by(weight * self.residual)
        return other

    def share(self, samples: Samples) -> Consistent:
        """A share of f_d, with the term in proportion to the samples."""
        assert self.samples is not None
        return self._around(self.problem.share(samples), len(samples) / len(self.samples))

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        tilt = self.geometry.dot(self.residual, theta - self.origin.theta)
        return point.seen(theta, point.value + tilt, lambda: point.gradient + self.residual)

"""Gauss-Newton: the curvature of a sum of squares, from the Jacobian of its residuals.

f = ‖r‖²,  g = 2 Jᵀr,  B = 2 JᵀJ

For a loss that is convex in the outputs z of a network B = (∂z/∂θ)ᵀ ∇²ℓ (∂z/∂θ), with f's own g.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.hessian.bend import bend
from ddopt.hessian.exact import OperatorModel
from ddopt.hessian.hessian import Hessian, Regularised, Unknown
from ddopt.hessian.linear_residuals import LinearResiduals
from ddopt.numerics.vectors import fingerprint
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.subproblem import Candidate

PRODUCTS = 30  # with G, of one step: a model that is solved better is not a better model


class GeneralisedModel(OperatorModel, Regularised):
    """<g, p> + ½ <p, G p> with the gradient of f itself, minimised by conjugate gradients."""

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """The step p (n,) with ‖p‖ <= radius, the decrease −m(p), and ‖p‖."""
        from ddopt.subproblem.steihaug import Steihaug  # which is made of models

        found = Steihaug(iterations=PRODUCTS).solve(self, radius)
        return found.step, found.predicted, found.norm


class GaussNewton(Hessian):
    """Gauss-Newton curvature in a trust region; goes with the subproblem ``obs``.

    For problems that give their residuals, and for cross-entropies of a softmax, whose generalised
    Gauss-Newton matrix is known by its products (``ddopt.evaluation.outputs``). The Jacobian of
    residuals takes m n numbers of memory. The solver ``levenberg_marquardt`` has their model with a
    damping in place of the ball, and is faster.
    """

    name = "gauss_newton"
    least_squares = True
    learns = False

    class Config(Settings):
        """How far to follow the curvature of the residuals."""

        corrections: int = Field(
            3, ge=0, description="how often a step is bent; each costs residuals, no Jacobian"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._last: tuple[Point, LinearResiduals] | None = None  # serves again after a rejection
        self._guess = 0.0  # the damping of the last step, near which the next one's may be
        self._before = ""  # the point of the model that a checkpoint had

    def model(self, problem: Problem, point: Point) -> Regularised | Unknown:
        """The linearised least-squares model at ``point``, or the generalised one."""
        if problem.convex:
            self._last = None
            product = problem.generalised(point.theta)
            return GeneralisedModel(point.gradient, product, problem.geometry)
        if self._last is None or self._last[0] is not point:
            made = self._made(problem, point)
            if made is None:
                return Unknown(point.gradient)  # and not kept for the next time
            self._last = point, made
        return self._last[1]

    def _made(self, problem: Problem, point: Point) -> LinearResiduals | None:
        """A model where none is at hand; None where it is not finite.

        One that a checkpoint had has been charged.
        """
        before, self._before = self._before, ""
        if before and before == _named(point):
            problem = problem.paid
        residuals = problem.residuals(point.theta).detach()
        jacobian = problem.linearised(point.theta)
        if not (bool(residuals.isfinite().all()) and jacobian.finite):
            return None
        return LinearResiduals(jacobian, residuals, problem.tilt, self._damping)

    @property
    def _damping(self) -> float:
        return self._guess if self._last is None else self._last[1].guess

    def refine(
        self, problem: Problem, point: Point, candidate: Candidate, room: float
    ) -> Candidate:
        """Bend the step until the residuals are those that the linear model promised."""
        model = None if self._last is None or self._last[0] is not point else self._last[1]
        plain = None if model is None else model.last
        if model is None or plain is None or plain.step is not candidate.step:
            return candidate  # of another subproblem solver, or there is no model
        if not (self.config.corrections and candidate.predicted > 0.0):
            return candidate
        bent = bend(
            lambda step: problem.residuals(point.theta + step).detach(),
            model,
            plain,
            self.config.corrections,
            lambda step: problem.geometry.norm(step) <= room,
        )
        return dataclasses.replace(candidate, step=bent.step)

    def leave(self) -> None:
        """Let go of the last model, which has a Jacobian."""
        self._guess, self._last, self._before = self._damping, None, ""

    def state_dict(self) -> dict[str, Any]:
        """The last damping, where the next secular equation begins, and which model is at hand."""
        model = self._before if self._last is None else _named(self._last[0])
        return {"damping": self._damping, "model": model}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._last, self._guess = None, float(state["damping"])
        self._before = str(state["model"])


def _named(point: Point) -> str:
    """θ and f: at the same θ another f has another model."""
    return f"{fingerprint(point.theta)} {point.value!r}"

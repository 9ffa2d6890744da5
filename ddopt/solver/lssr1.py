"""L-SSR1-TR: the stochastic L-SR1 trust region with momentum and a Wolfe search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from pydantic import Field

from ddopt.solver.region import Region, Searched, Visit
from ddopt.solver.trust_region import TrustRegion
from ddopt.solver.wolfe import wolfe
from ddopt.subproblem import Candidate

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.vectors import Geometry


class LSSR1(TrustRegion):
    """Each step is the model's minimiser plus momentum, shortened by a line search.

        p = p* + μ min(1, Δ/‖v‖) v,  scaled into the ball;  s = α p,  α ∈ (0, 1] by strong Wolfe

    where p* minimises the L-SR1 model in the ball and v is the last step, 0 after a rejection.
    Momentum that the model expects to do harm is left out, as is the one that leads uphill. One
    iteration costs one to ``searches`` evaluations. After Erway, Griffin, Marcia and Omheni,
    Optim. Methods Softw. 35 (2020); the eigenvalues of the model are those that the Hessian's own
    option chooses (theirs are "signed").
    """

    name = "lssr1"

    class Config(TrustRegion.Config):
        """The trust region's options, momentum and line search."""

        momentum: float = Field(0.9, ge=0.0, lt=1.0, description="momentum μ")
        searches: int = Field(5, ge=1, description="most points of a line search; 1: none")

        def with_curvature(self, hessian: str | dict[str, Any]) -> LSSR1.Config:
            """The pairs that the method's name promises, whatever the strategy chooses."""
            return cast("LSSR1.Config", super().with_curvature("lsr1"))

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.region = Region(self.config, self._search)
        self.velocity: torch.Tensor | None = None  # v, shape: (n_d,)

    def propose(self, problem: Problem, point: Point, radius: float) -> Candidate:
        """The model's minimiser, with momentum where that helps."""
        model = self.hessian.model(problem, point)
        best: Candidate = self.subproblem.solve(model, radius)
        if self.velocity is None or self.config.momentum == 0.0:
            return best
        dot, norm = problem.geometry.dot, problem.geometry.norm
        speed = norm(self.velocity)
        if not speed > 0.0:
            return best
        step = best.step + self.config.momentum * min(1.0, radius / speed) * self.velocity
        length = norm(step)
        if length > radius:
            step, length = step * (radius / length), radius
        slope = dot(model.gradient, step)
        predicted = -slope - 0.5 * dot(step, model.mv(step))
        if not (slope < 0.0 and predicted > 0.0):
            return best
        return Candidate(step, predicted, length)

    def _search(
        self, visit: Visit, point: Point, candidate: Candidate, geometry: Geometry
    ) -> Asking[Searched]:
        return wolfe(visit, point, candidate, geometry, self.config.searches)

    def observe(self, point: Point, trial: Point, candidate: Candidate, accepted: bool) -> None:
        """Learn the curvature, and gather momentum."""
        super().observe(point, trial, candidate, accepted)
        self.velocity = candidate.step if accepted else torch.zeros_like(candidate.step)

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the curvature memory and the velocity."""
        super().prepare(like)
        self.velocity = torch.zeros_like(like)

    def reset(self) -> None:
        """Forget the curvature, and stand still."""
        super().reset()
        self.velocity = None

    def state_dict(self) -> dict[str, Any]:
        """The trust region's state and the velocity."""
        own = {} if self.velocity is None else {"velocity": self.velocity}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        super().load_state_dict(state)
        self.velocity = state.get("velocity")

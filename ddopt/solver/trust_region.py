"""The trust-region method: minimise a quadratic model in a ball, judge, adapt the ball."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field

from ddopt.component import Chosen, Settings
from ddopt.radius import Trial
from ddopt.solver.solver import Answer, Solver
from ddopt.vectors import dot, norm

if TYPE_CHECKING:
    from ddopt.hessian import Model
    from ddopt.problem import Point, Problem
    from ddopt.subproblem import Candidate

REACHED = 1e-3  # the ball counts as reached when less than this fraction of it is left


class TrustRegion(Solver):
    """Conn, Gould and Toint, Trust-Region Methods, Algorithm 6.1.1, with exchangeable parts."""

    name = "trust_region"

    class Config(Settings):
        """The parts of the method, and its first radius."""

        hessian: Annotated[Settings, Chosen("hessian")] = Field(
            "lsr1", validate_default=True, description="curvature of the model"
        )
        subproblem: Annotated[Settings, Chosen("subproblem")] = Field(
            "obs", validate_default=True, description="how the model is minimised in the ball"
        )
        acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
            "monotone", validate_default=True, description="which trials are taken"
        )
        radius: Annotated[Settings, Chosen("radius")] = Field(
            "stepwise", validate_default=True, description="how the radius follows the ratio"
        )
        first_radius: float = Field(1.0, gt=0.0, description="the radius of the first iteration")
        learn_from_rejected: bool = Field(
            True, description="take the gradient of rejected trials too, and learn from it"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.hessian: Any = self.config.hessian.build()
        self.subproblem: Any = self.config.subproblem.build()
        self.acceptance: Any = self.config.acceptance.build()
        self.rule: Any = self.config.radius.build()
        self.radius: float = self.config.first_radius

    def solve(self, problem: Problem, start: Point, ball: float, iterations: int) -> Answer:
        """Iterate from ``start``; the last radius is kept for the next call."""
        point, room = start, ball
        accepted = rejected = 0
        ratio = None
        for _ in range(iterations):
            model: Model = self.hessian.model(problem, point)
            candidate = self.subproblem.solve(model, min(self.radius, room))
            if not candidate.predicted > 0.0:
                break  # a stationary point of the model: nothing is left to do
            trial = problem.at(point.theta + candidate.step)
            verdict = self.acceptance.judge(point.value, trial.value, candidate.predicted)
            ratio = verdict.ratio
            self._learn(point, trial, candidate, verdict.accepted)
            self._adapt(point, trial, candidate, ratio, verdict.accepted, room)
            if not verdict.accepted:
                rejected += 1
                continue
            accepted += 1
            point = trial
            if math.isfinite(ball):
                room = ball - norm(point.theta - start.theta)
                if room <= REACHED * ball:
                    break
        return Answer(
            step=point.theta - start.theta,
            decrease=start.value - point.value,
            end=point,
            accepted=accepted,
            rejected=rejected,
            evaluations=(accepted + rejected) * problem.cost,
            ratio=ratio,
        )

    def _learn(self, point: Point, trial: Point, candidate: Candidate, accepted: bool) -> None:
        if not math.isfinite(trial.value) or not (accepted or self.config.learn_from_rejected):
            return
        self.hessian.update(candidate.step, trial.gradient - point.gradient)

    def _adapt(
        self,
        point: Point,
        trial: Point,
        candidate: Candidate,
        ratio: float,
        accepted: bool,
        room: float,
    ) -> None:
        """Let the radius follow the trial; a ball that cut the step short is no evidence."""
        updated = self.rule.update(
            Trial(
                radius=min(self.radius, room),
                step_norm=candidate.norm,
                ratio=ratio,
                accepted=accepted,
                predicted=candidate.predicted,
                slope=dot(point.gradient, candidate.step),
                change=trial.value - point.value,
            )
        )
        self.radius = max(updated, self.radius) if accepted and room < self.radius else updated

    def learn(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Give a secant pair to the Hessian approximation."""
        self.hessian.update(s, y)

    def reset(self) -> None:
        """Forget the curvature; the radius shrinks or grows back by itself."""
        self.hessian.reset()

    def state_dict(self) -> dict[str, Any]:
        """Radius, curvature memory and the acceptance policy's memory."""
        return {
            "radius": self.radius,
            "hessian": self.hessian.state_dict(),
            "acceptance": self.acceptance.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.radius = float(state["radius"])
        self.hessian.load_state_dict(state["hessian"])
        self.acceptance.load_state_dict(state["acceptance"])

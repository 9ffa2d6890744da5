"""The trust-region iteration: propose a step in a ball, judge it, adapt the ball."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import torch
from pydantic import Field

from ddopt.acceptance.acceptance import ROUND_OFF
from ddopt.component import Chosen, Norm, Settings
from ddopt.radius import Trial, unusable
from ddopt.solver.solver import Answer

if TYPE_CHECKING:
    from ddopt.acceptance import Verdict
    from ddopt.problem import Point, Problem
    from ddopt.subproblem import Candidate
    from ddopt.vectors import Geometry

BLIND = 20  # steps in a row whose promise is lost in the round-off of f, before it is enough
REACHED = 1e-3  # the ball counts as reached when less than this fraction of it is left


class Proposer(Protocol):
    """Where the steps come from: a model and its minimiser, or Adam's direction."""

    def propose(self, problem: Problem, point: Point, radius: float) -> Candidate:
        """A step of norm at most ``radius`` and the decrease it should bring."""

    @property
    def learns_always(self) -> bool:
        """Whether it takes the gradient of every trial, or of accepted ones only."""

    def observe(self, point: Point, trial: Point, candidate: Candidate, accepted: bool) -> None:
        """Learn from a trial whose value is finite."""


Searched = tuple["Candidate", "Point", int]  # the step to judge, its end, and the points visited
Visit = Callable[["torch.Tensor"], "Point"]
Search = Callable[[Visit, "Point", "Candidate", "Geometry"], Searched]


class RegionSettings(Settings):
    """What every trust region has: a policy, a rule for its radius, and a first radius."""

    acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
        "monotone", validate_default=True, description="which trials are taken"
    )
    radius: Annotated[Settings, Chosen("radius")] = Field(
        "stepwise", validate_default=True, description="how the radius follows the ratio"
    )
    norm: Norm = Field("2", description="norm of the ball that the accumulated step stays in")
    first_radius: float | None = Field(
        None, gt=0.0, description="the radius of the first iteration; by default min(1, |f|/‖g‖)"
    )


class Region:
    """Conn, Gould and Toint, Trust-Region Methods, Algorithm 6.1.1, for any source of steps."""

    def __init__(self, config: Any, search: Search | None = None) -> None:
        self._search = search or whole_step
        self.acceptance: Any = config.acceptance.build()
        self.rule: Any = config.radius.build()
        self.norm: str = config.norm
        # Kept from call to call; NaN until the first point is known.
        self.radius: float = config.first_radius or math.nan
        self.room = math.inf  # from the current point to the boundary of the ball of this call
        self._blind = 0  # steps in a row that promised less than f can show

    def solve(
        self, problem: Problem, start: Point, ball: float, iterations: int, proposer: Proposer
    ) -> Answer:
        """Run at most ``iterations`` iterations; the accumulated step stays within ``ball``."""
        if math.isnan(self.radius):
            self.radius = first_radius(start, problem.geometry.norm(start.gradient))
        point, self.room = start, ball
        accepted = rejected = refuted = non_finite = visits = 0
        beside = 0.0  # full gradients that steps and judgements took beside the trials
        ratio, asked = None, True  # whether the gradient of the next trial will be asked for
        for _ in range(iterations):
            candidate = proposer.propose(problem, point, min(self.radius, self.room))
            beside += candidate.cost
            if math.isnan(candidate.predicted):  # the curvature is not finite at this point
                self._refuse()
                ratio, rejected, non_finite = -math.inf, rejected + 1, non_finite + 1
                break
            if not candidate.predicted > 0.0:
                break  # the model sees nothing to gain: a stationary point
            if self._gone_blind(point, candidate):
                break
            visit = problem.both if asked else problem.at
            candidate, trial, visited = self._search(visit, point, candidate, problem.geometry)
            verdict = self.acceptance.consider(
                problem, point, trial, candidate.predicted, min(self.radius, self.room)
            )
            ratio, refuted = verdict.ratio, refuted + verdict.refuted
            visits, beside = visits + visited, beside + verdict.cost
            non_finite += verdict.non_finite
            if not verdict.non_finite:
                proposer.observe(point, trial, candidate, verdict.accepted)
            self._adapt(point, trial, candidate, verdict, problem.geometry)
            asked = verdict.accepted or proposer.learns_always  # most likely as the last one's
            if not verdict.accepted:
                rejected += 1
                continue
            accepted += 1
            point = trial
            if math.isfinite(ball):
                self.room = ball - problem.geometry.length(point.theta - start.theta, self.norm)
                if self.room <= REACHED * ball:
                    break
        return Answer(
            step=point.theta - start.theta,
            decrease=start.value - point.value,
            end=point,
            accepted=accepted,
            rejected=rejected,
            evaluations=visits * problem.cost + beside,
            ratio=ratio,
            refuted=refuted,
            non_finite=non_finite,
        )

    def _gone_blind(self, point: Point, candidate: Candidate) -> bool:
        """Whether f has long been unable to tell steps apart; a few may still improve ∇f."""
        noise = ROUND_OFF * point.epsilon * abs(point.value)
        self._blind = self._blind + 1 if candidate.predicted <= noise else 0
        return self._blind > BLIND

    def _refuse(self) -> None:
        """There is no step to be judged, since no model promises anything: a smaller ball."""
        radius = min(self.radius, self.room)
        self.radius = self.rule.update(unusable(radius, 0.0))

    def _adapt(
        self,
        point: Point,
        trial: Point,
        candidate: Candidate,
        verdict: Verdict,
        geometry: Geometry,
    ) -> None:
        """Let the radius follow the trial; a step cut short by the ball is no reason to shrink."""
        updated = self.rule.update(
            Trial(
                radius=min(self.radius, self.room),
                step_norm=candidate.norm,
                ratio=verdict.ratio,
                accepted=verdict.accepted,
                predicted=candidate.predicted,
                slope=geometry.dot(point.gradient, candidate.step),
                change=trial.value - point.value,
            )
        )
        cut = verdict.accepted and self.room < self.radius
        self.radius = max(updated, self.radius) if cut else updated

    def state_dict(self) -> dict[str, Any]:
        """The radius, and the acceptance policy's memory."""
        return {
            "radius": self.radius,
            "blind": self._blind,
            "acceptance": self.acceptance.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.radius, self._blind = float(state["radius"]), int(state["blind"])
        self.acceptance.load_state_dict(state["acceptance"])


def whole_step(visit: Visit, point: Point, candidate: Candidate, geometry: Geometry) -> Searched:
    """Try the candidate as it is."""
    return candidate, visit(point.theta + candidate.step), 1


def first_radius(start: Point, slope: float) -> float:
    """min(1, |f|/‖g‖): no further than where the linear model would bring f to zero."""
    reach = abs(start.value) / slope if slope > 0.0 else 0.0
    return min(1.0, reach) if reach > 0.0 else 1.0

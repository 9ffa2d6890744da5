"""The trust-region iteration: propose a step in a ball, judge it, adapt the ball."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import torch
from pydantic import Field

from ddopt.acceptance.acceptance import ROUND_OFF
from ddopt.evaluation.question import Asking, Both, Value, Work
from ddopt.method import contract
from ddopt.method.credible import Credence
from ddopt.radius import Trial, unusable
from ddopt.setup.component import Chosen, Norm, Settings, restore, states
from ddopt.solver.solver import Answer

if TYPE_CHECKING:
    from ddopt.acceptance import Verdict
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.numerics.vectors import Geometry
    from ddopt.subproblem import Candidate

BLIND = 20  # steps in a row whose promise is lost in the round-off of f, before it is enough
LONGEST = 1e100  # of a step, where the radius is infinite and the model has no minimiser
NOWHERE = 0.5 * LONGEST  # a minimiser that far away is none
REACHED = 1e-3  # the ball counts as reached when less than this fraction of it is left


class Proposer(Protocol):
    """Where the steps come from: a model and its minimiser, or Adam's direction."""

    def propose(self, problem: Problem, point: Point, radius: float) -> Candidate:
        """A step of norm at most ``radius`` and the decrease it should bring."""

    @property
    def learns_always(self) -> bool:
        """Whether it takes the gradient of every trial, or of accepted ones only."""

    def observe(self, point: Point, trial: Point, candidate: Candidate, accepted: bool) -> None:
        """Learn from a trial whose value is finite and whose gradient can be believed."""


Searched = tuple["Candidate", "Point"]  # the step to judge, and its end
Visit = Callable[["torch.Tensor"], Value]
Search = Callable[[Visit, "Point", "Candidate", "Geometry"], Asking[Searched]]


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
        None,
        ge=1e-100,
        allow_inf_nan=True,
        description="the radius of the first iteration; by default min(‖θ‖, |f|/‖g‖); inf: steps "
        "have no bound until one is rejected, or a model has no minimiser",
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
        self._first = self.radius
        self.room = math.inf  # from the current point to the boundary of the ball of this call
        self._credence = Credence()
        self._blind = 0  # steps in a row that promised less than f can show

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int, proposer: Proposer
    ) -> Asking[Answer]:
        """Run at most ``iterations`` iterations; the accumulated step stays within ``ball``."""
        if math.isnan(self.radius):
            self.radius = self._first = first_radius(start, problem.geometry)
        point, self.room = start, ball
        step, length = torch.zeros_like(start.theta), _nothing  # from the start to the point
        if proposer.learns_always:
            start.foresee(problem.geometry)
        accepted = rejected = refuted = non_finite = 0
        ratio, asked = None, True  # whether the gradient of the next trial will be asked for
        for _ in range(iterations):
            radius = min(self.radius, self.room, LONGEST)
            candidate: Candidate = yield Work(problem, _proposing(proposer, point, radius))
            if self._unbounded(candidate):
                self.radius = self._first = first_radius(point, problem.geometry)
                radius = min(self.radius, self.room)
                candidate = yield Work(problem, _proposing(proposer, point, radius))
            if math.isnan(candidate.predicted):  # the curvature is not finite at this point
                self._refuse()
                ratio, rejected, non_finite = -math.inf, rejected + 1, non_finite + 1
                break
            if not candidate.predicted > 0.0:
                break  # the model sees nothing to gain: a stationary point
            if self._gone_blind(point, candidate):
                break
            visit = partial(Both if asked else Value, problem)
            candidate, trial = yield from self._search(visit, point, candidate, problem.geometry)
            slope = problem.geometry.dot_later(point.gradient, candidate.step)
            way = trial.theta - start.theta
            distance = problem.geometry.length_later(way, self.norm)  # read with the value
            if asked and proposer.learns_always:
                trial.foresee(problem.geometry)
            judging = partial(
                self._judge, point=point, trial=trial, candidate=candidate, proposer=proposer
            )
            verdict: Verdict = yield Work(problem, judging)  # independent samples may be asked
            ratio, refuted = verdict.ratio, refuted + verdict.refuted
            non_finite += verdict.non_finite
            if not verdict.non_finite:
                proposer.observe(point, trial, candidate, verdict.accepted)
            self._adapt(point, trial, candidate, verdict, slope())
            asked = verdict.accepted or proposer.learns_always  # most likely as the last one's
            if not verdict.accepted:
                rejected += 1
                continue
            accepted += 1
            point, step, length = trial, way, distance
            if math.isfinite(ball):
                self.room = ball - length()
                if self.room <= REACHED * ball:
                    break
        answer = Answer(
            step=step,
            decrease=start.value - point.value,
            end=point,
            accepted=accepted,
            rejected=rejected,
            ratio=ratio,
            refuted=refuted,
            non_finite=non_finite,
        )
        return answer.measured(length) if self.norm == "2" else answer

    def _unbounded(self, candidate: Candidate) -> bool:
        """Whether no bound was wanted, but the model has no minimiser, so that one is needed."""
        found = candidate.norm < NOWHERE and candidate.predicted >= 0.0
        return math.isinf(self.radius) and not found

    def _judge(
        self,
        problem: Problem,
        point: Point,
        trial: Point,
        candidate: Candidate,
        proposer: Proposer,
    ) -> Verdict:
        """The verdict on a trial.

        One whose gradient cannot be believed is rejected whatever its value is, and forgotten.
        """
        memory = self.acceptance.state_dict()
        verdict = self.acceptance.consider(
            problem, point, trial, candidate.predicted, min(self.radius, self.room)
        )
        contract.verdict(self.acceptance, verdict)
        wanted = verdict.accepted or (proposer.learns_always and not verdict.non_finite)
        if not wanted or self._credence.believes(point, trial, candidate.norm, problem.geometry):
            return verdict
        self.acceptance.load_state_dict(memory)
        return replace(verdict, accepted=False, ratio=-math.inf, non_finite=True)

    def _gone_blind(self, point: Point, candidate: Candidate) -> bool:
        """Whether f has long been unable to tell steps apart; a few may still improve ∇f."""
        noise = ROUND_OFF * point.epsilon * abs(point.value)
        self._blind = self._blind + 1 if candidate.predicted <= noise else 0
        return self._blind > BLIND

    def _refuse(self) -> None:
        """There is no step to be judged, since no model promises anything: a smaller ball."""
        radius = min(self.radius, self.room)
        trial = unusable(radius, 0.0, first=self._first)
        self.radius = contract.radius(self.rule, self.rule.update(trial), radius)

    def _adapt(
        self,
        point: Point,
        trial: Point,
        candidate: Candidate,
        verdict: Verdict,
        slope: float,
    ) -> None:
        """Let the radius follow the trial; a step cut short by the ball is no reason to shrink."""
        if math.isinf(self._first):  # without a bound the first step is the length to begin with
            self._first = candidate.norm
        updated = self.rule.update(
            Trial(
                radius=min(self.radius, self.room),
                step_norm=candidate.norm,
                ratio=verdict.ratio,
                accepted=verdict.accepted,
                predicted=candidate.predicted,
                slope=slope,
                change=trial.value - point.value,
                first=self._first,
            )
        )
        updated = contract.radius(self.rule, updated, self.radius)
        cut = verdict.accepted and self.room < self.radius
        self.radius = max(updated, self.radius) if cut else updated

    def state_dict(self) -> dict[str, Any]:
        """The radius, and what the acceptance policy and the radius rule remember."""
        own = {"radius": self.radius, "first": self._first, "blind": self._blind}
        return {**own, **states(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.radius, self._first = float(state["radius"]), float(state["first"])
        self._blind = int(state["blind"])
        restore(self, state)


def _nothing() -> float:
    return 0.0


def _proposing(proposer: Proposer, point: Point, radius: float) -> Callable[[Problem], Candidate]:
    return lambda problem: proposer.propose(problem, point, radius)


def whole_step(
    visit: Visit, point: Point, candidate: Candidate, geometry: Geometry
) -> Asking[Searched]:
    """Try the candidate as it is."""
    trial: Point = yield visit(point.theta + candidate.step)
    return candidate, trial


def first_radius(start: Point, geometry: Geometry) -> float:
    """min(‖θ‖, |f|/‖g‖): no further than where the linear model would bring f to zero.

    Where one of them is 0 it is the other one, and 1 where both are.
    """
    slope = geometry.norm(start.gradient)
    reach = abs(start.value) / slope if slope > 0.0 else 0.0
    known = [length for length in (geometry.norm(start.theta), reach) if length > 0.0]
    return min(known, default=1.0)

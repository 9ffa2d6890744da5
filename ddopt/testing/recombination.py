"""The check of recombinations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.executor import Serial
from ddopt.method import contract
from ddopt.recombination import Corrections
from ddopt.testing.conduct import bits, check_conduct, fresh, on_two_processes, require, told
from ddopt.testing.start import begin, normal

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.executor import Executor
    from ddopt.recombination import Recombination

RADIUS = 0.05


@dataclass
class Case:
    """Subdomains of a problem, and a step of each that fills the ball that it was given."""

    problem: Problem
    point: Point
    cut: Any
    norm: str = "2"

    def corrections(
        self, recombination: Any, executor: Executor, seed: int, radius: float = RADIUS
    ) -> Corrections:
        """What this process's subdomains propose; each goes down, as far as it may."""
        subdomains = self.cut.split(self.problem)
        ball = recombination.ball(radius, subdomains, self.problem, self.norm)
        contract.ball(recombination, ball)
        steps, decreases = {}, []
        for d, one in enumerate(subdomains):
            g = one.restrict(self.point.gradient)
            step = 0.3 * normal(len(g), seed + d).to(g) * g.norm() / len(g) ** 0.5 - g
            length = self.problem.geometry.length(step, self.norm)
            if d in executor.owned(len(subdomains)):
                steps[d] = step * (ball / length)
            decreases.append(0.1 * float(g.norm()) * ball * (1.0 + d))
        return Corrections(
            problem=self.problem,
            point=self.point,
            radius=radius,
            subdomains=subdomains,
            steps=steps,
            decreases=decreases,
            executor=executor,
            norm=self.norm,
        )

    def combined(self, recombination: Any, executor: Executor, seed: int) -> list[Any]:
        """The step, its prediction, and its length, once ``combine`` has kept its word."""
        given = self.corrections(recombination, executor, seed)
        before = bits([given.point.theta, given.point.gradient, *given.steps.values()])
        found = contract.recombined(
            recombination, recombination.combine(given), self.problem.layout
        )
        after = bits([given.point.theta, given.point.gradient, *given.steps.values()])
        require(
            before == after,
            recombination,
            "combine() changed θ, the gradient or the subdomains' steps in place; make new tensors",
        )
        theta = self.point.theta
        step = found.step if found.found is None else found.found.trial.theta - theta
        assert step is not None
        return [step, float(found.predicted), self.problem.geometry.length(step, self.norm)]


@told
def check_recombination(
    recombination: Recombination, problem: Problem | None = None, *, ranks: bool = True
) -> None:
    """The step is finite, stays in the radius by ``ball``, and is the same on every process."""
    problem, theta = begin(problem)
    point = problem.both(theta)
    point.gradient  # noqa: B018 - the engine has asked for it before
    cuts = [Layers(subdomains=3)] + ([Data(subdomains=3)] if problem.samples is not None else [])
    for cut in cuts:
        for norm in ("2", "inf"):
            _check_case(recombination, Case(problem, point, cut, norm), ranks and norm == "2")
    _check_reset(recombination, Case(problem, point, cuts[0]))


def _check_case(recombination: Recombination, case: Case, ranks: bool) -> None:
    theta, layout = case.point.theta, case.problem.layout

    def advance(one: Any, i: int) -> Any:
        return case.combined(one, Serial(), 10 * i)

    for step, predicted, length in check_conduct(recombination, advance, "combine()", ranks=False):
        require(bool(step.isfinite().all()), recombination, "combine() gives a step with NaN or ∞")
        contract.contained(recombination, length, RADIUS, layout, theta)
        require(
            predicted > 0.0,
            recombination,
            f"every subdomain went down, and combine() predicts a decrease of {predicted:g}; it "
            "must be positive, or no step is ever tried",
        )
    _check_ball(recombination, case)
    if ranks:
        _check_processes(
            recombination, case, bits(case.combined(fresh(recombination), Serial(), 0))
        )


def _check_ball(recombination: Recombination, case: Case) -> None:
    """``ball`` is in proportion to the radius: a rule in absolute lengths has another scale."""
    subdomains = case.cut.split(case.problem)
    one, half = (
        recombination.ball(radius, subdomains, case.problem, case.norm)
        for radius in (RADIUS, 0.5 * RADIUS)
    )
    require(
        abs(half - 0.5 * one) <= 1e-9 * one,
        recombination,
        f"ball() must be in proportion to the radius; it is {one:g} for {RADIUS:g}, and {half:g} "
        "for half of that",
    )


def _check_processes(recombination: Recombination, case: Case, kept: Any) -> None:
    """Each of two processes has some of the steps, and both find the step of one process."""

    def outcome(executor: Executor) -> Any:
        return bits(case.combined(fresh(recombination), executor, 0))

    found = on_two_processes(recombination, outcome, timeout=60.0)
    require(
        all(one == kept for one in found),
        recombination,
        "two processes find another step than one process with the same subdomains: each has only "
        "some of corrections.steps; sum over all by corrections.sum(), see all by "
        "corrections.each(), and ask for no rank",
    )


def _check_reset(recombination: Recombination, case: Case) -> None:
    used = fresh(recombination)
    for seed in range(3):
        case.combined(used, Serial(), seed)
    used.reset()
    same = bits(case.combined(used, Serial(), 7)) == bits(
        case.combined(fresh(recombination), Serial(), 7)
    )
    require(
        same, recombination, "after reset() earlier steps must be forgotten; it still uses them"
    )

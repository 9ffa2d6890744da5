"""The check of recombinations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.evaluation.meter import Meter, Metered
from ddopt.executor import Serial
from ddopt.method import contract
from ddopt.recombination import Corrections, Recombined
from ddopt.testing.conduct import bits, check_conduct, fresh, on_two_processes
from ddopt.testing.solver import Counted
from ddopt.testing.start import begin, normal
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.executor import Executor
    from ddopt.recombination import Recombination

RADIUS = 0.05


def combined(recombination: Any, given: Corrections) -> Recombined:
    """What ``combine`` returns, once it has left alone what it was given."""
    vectors = [given.point.theta, given.point.gradient, *given.steps.values()]
    before, decreases = bits(vectors), list(given.decreases)
    found = contract.recombined(recombination, recombination.combine(given), given.problem.layout)
    require(
        bits(vectors) == before and given.decreases == decreases,
        recombination,
        "combine() changed θ, the gradient, the subdomains' steps or decreases in place; make new "
        "ones",
    )
    return found


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
        found = combined(recombination, given)
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
    for cut in cuts:
        _check_stuck(recombination, Case(problem, point, cut))
        _check_worth(recombination, Case(problem, point, cut))
    _check_charged(recombination, Case(problem, point, cuts[-1]))
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


def _check_stuck(recombination: Recombination, case: Case) -> None:
    """Subdomains that have found nothing: the engine asks for the step all the same."""
    one = fresh(recombination)
    given = case.corrections(one, Serial(), 0)
    steps = {d: 0.0 * step for d, step in given.steps.items()}
    place = "where no subdomain has found a step (all steps and decreases are 0)"
    try:
        found = combined(one, replace(given, steps=steps, decreases=[0.0] * len(steps)))
    except ArithmeticError as error:
        raise AssertionError(
            f"{place} combine() raised {type(error).__name__}: {error}; it must divide by nothing "
            "that may be 0"
        ) from error
    step = found.step
    require(
        not found.predicted > 0.0 or step is None or bool(step.isfinite().all()),
        recombination,
        f"{place} combine() predicts a decrease of {found.predicted:g} for a step with NaN or ∞",
    )


def _check_worth(recombination: Recombination, case: Case) -> None:
    """The step goes down, is made of the subdomains' steps, and promises no more than they do."""
    one, g = fresh(recombination), case.point.gradient
    steps = []
    for seed in (0, 10):  # subdomain d has the numbers of seed + d
        meter = Meter()
        given = case.corrections(one, Serial(), seed)
        given = replace(given, problem=Metered(case.problem, meter), meter=meter)
        found = combined(one, given)
        whole = sum(given.decreases)
        works = meter.total > 0.0 or found.found is not None  # and may find more by itself
        require(
            works or found.predicted <= whole * (1 + 1e-6),
            recombination,
            f"combine() predicts a decrease of {found.predicted:g}, and all subdomains together "
            f"have found {whole:g}: a promise that is never kept has every step rejected",
        )
        steps.append(given.found(found).trial.theta - case.point.theta)
        require(
            float(g @ steps[-1]) < 0.0,
            recombination,
            "every subdomain goes down, and combine() gives a step along which f rises",
        )
    require(
        bits(steps[0]) != bits(steps[1]),
        recombination,
        "combine() gives the same step whatever the subdomains have found: it must be made of "
        "corrections.sum(weights) or corrections.each()",
    )


def _check_charged(recombination: Recombination, case: Case) -> None:
    """Whatever is evaluated goes through the problem that is given."""
    counted, meter = Counted(case.problem), Meter()
    one = fresh(recombination)
    metered = replace(case, problem=Metered(counted, meter))
    given = replace(metered.corrections(one, Serial(), 0), meter=meter)
    counted.count = 0
    meter.reset()
    one.combine(given)
    charged = (meter.total + sum(meter.of(d).total for d in given.steps)) / case.problem.cost
    require(
        charged >= 0.99 * counted.count,
        recombination,
        f"combine() has evaluated f {counted.count} times, and {charged:g} were charged: evaluate "
        "through corrections.problem, and not through what is inside it",
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

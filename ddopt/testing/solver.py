"""What a solver's answers are worth: the part of ``check_solver`` that every solver must pass."""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.derived import Derived
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.question import answered
from ddopt.method import contract
from ddopt.testing.asking import Gate, Gated
from ddopt.testing.conduct import bits, check_conduct, fresh, untouched
from ddopt.testing.start import normal
from ddopt.testing.telling import require

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.solver import Answer, Solver

ROUND_OFF = 1e-12
FAR = 3.0  # standard deviation of starts where full steps go too far


class Counted(Derived):
    """A problem that counts its own evaluations, below every meter."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.count = 0

    def _around(self, problem: Problem) -> Problem:
        other = Counted(problem)
        other.__dict__["count"] = self.count
        return other

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        self.count += 1
        return point


def check_answers(solver: Solver, problem: Problem, theta: torch.Tensor, ranks: bool) -> None:
    """The answer says where it ended and what f is there, in the ball, in so many iterations."""
    starts = [theta, theta + FAR * normal(len(theta), 1).to(theta)]
    for where in starts:
        for ball in (1e-2, math.inf):
            start = problem.at(where)
            answer = solved(fresh(solver), problem, start, ball, 10)
            _check_truth(solver, problem, start, answer, ball)
            require(
                answer.accepted + answer.rejected > 0,
                solver,
                "an answer counts its iterations as accepted and rejected; where there is none of "
                "either, a run takes the point for stationary, and ends",
            )
            moved = norm_of(start.gradient) == 0.0 or answer.decrease > 0.0
            require(
                moved,
                solver,
                f"it has not moved in ten iterations in a ball of {ball:g}, and ∇f is "
                f"{norm_of(start.gradient):g} long: it must find a lower point",
            )
    _check_iterations(solver, problem, theta)
    _check_charged(solver, problem, theta)
    _check_forgets(solver, problem, theta)
    check_conduct(solver, advance(problem, theta), "its answer", ranks=ranks)


def advance(problem: Problem, theta: torch.Tensor, ball: float = math.inf) -> Any:
    """Calls from points near each other, as those of outer iterations are."""

    def call(solver: Any, i: int) -> Any:
        start = problem.at(theta + 0.01 * normal(len(theta), i).to(theta))
        answer = solved(solver, problem, start, ball, 3)
        return [answer.step, answer.decrease, answer.end.theta, answer.end.value]

    return call


def solved(solver: Any, problem: Problem, start: Point, ball: float, iterations: int) -> Answer:
    """The answer, once it has been looked at."""
    given, gate = {"start.theta": start.theta}, Gate()
    if not solver.stochastic:
        given["start.gradient"] = start.gradient
    with untouched(solver, "it", **given):
        asking = solver.iterate(Gated(problem, gate), start, ball, iterations)
        require(
            isinstance(asking, Generator),
            solver,
            "iterate() must be a generator, which yields questions and returns a ddopt.Answer; it "
            f"is {contract.described(asking)}",
        )
        found = answered(asking, gate.tell)
    return contract.answer(solver, found, problem, ball, getattr(solver, "norm", "2"))


def norm_of(vector: torch.Tensor) -> float:
    """The 2-norm."""
    return float(vector.norm())


def _check_truth(
    solver: Solver, problem: Problem, start: Point, answer: Answer, ball: float
) -> None:
    end = answer.end
    leads = torch.allclose(end.theta, start.theta + answer.step, rtol=1e-13, atol=1e-14)
    require(
        leads,
        solver,
        "Answer.step must lead from the start to Answer.end; end.theta − start.theta is another "
        f"vector, by {norm_of(end.theta - start.theta - answer.step):g}",
    )
    true = problem.at(end.theta)
    require(
        abs(true.value - end.value) <= ROUND_OFF * max(abs(true.value), abs(end.value)),
        solver,
        f"Answer.end.value is {end.value:g}, and f there is {true.value:g}: give back the point "
        "that was evaluated",
    )
    require(
        norm_of(true.gradient - end.gradient) <= 1e-9 * max(norm_of(true.gradient), 1e-300),
        solver,
        "Answer.end.gradient is not ∇f there: give back the point that was evaluated",
    )
    brought = start.value - end.value
    require(
        abs(answer.decrease - brought) <= ROUND_OFF * max(abs(start.value), 1e-300),
        solver,
        f"Answer.decrease must be f(start) − f(end) = {brought:g}; it is {answer.decrease:g}",
    )
    require(
        end.value <= start.value,
        solver,
        f"it ends higher than it began: f rises from {start.value:g} to {end.value:g} in a ball of "
        f"{ball:g}; a trial that is higher must be rejected",
    )


def _check_iterations(solver: Solver, problem: Problem, theta: torch.Tensor) -> None:
    start = problem.at(theta)
    found = {k: solved(fresh(solver), problem, start, math.inf, k) for k in (1, 6)}
    for k, answer in found.items():
        taken = answer.accepted + answer.rejected
        require(taken <= k, solver, f"it was given {k} iterations, and says that it took {taken}")
    require(
        bits(found[1].step) != bits(found[6].step),
        solver,
        "one iteration gives the step of six: the argument iterations must limit how many it makes",
    )


def _check_charged(solver: Solver, problem: Problem, theta: torch.Tensor) -> None:
    """Whatever is evaluated goes through the problem that is given."""
    counted, meter = Counted(problem), Meter()
    start = problem.at(theta)
    solved(fresh(solver), Metered(counted, meter), start, math.inf, 5)
    charged = meter.total / problem.cost
    require(
        charged >= 0.99 * counted.count,
        solver,
        f"f was evaluated {counted.count} times, and {charged:g} were charged: evaluate through "
        "the problem that is given, and not through what is inside it",
    )


def _check_forgets(solver: Solver, problem: Problem, theta: torch.Tensor) -> None:
    """``reset`` does something, where there is something to forget."""
    used, new = fresh(solver), fresh(solver)
    for one in (used, new):
        one.prepare(torch.zeros_like(theta))
    blank = bits(_tensors(new.state_dict()))
    call = advance(problem, theta)
    for i in range(3):
        call(used, i)
    full = bits(_tensors(used.state_dict()))
    used.reset()
    require(
        full == blank or bits(_tensors(used.state_dict())) != full,
        solver,
        "reset() changes no tensor of what it remembers: the curvature of another problem must be "
        "forgotten",
    )


def _tensors(state: Any) -> list[torch.Tensor]:
    """What is curvature in a state; numbers may be radii, which find their way."""
    if isinstance(state, dict):
        state = list(state.values())
    if isinstance(state, (list, tuple)):
        return [tensor for one in state for tensor in _tensors(one)]
    return [state] if isinstance(state, torch.Tensor) else []

"""The checks of solvers.

Each check raises ``AssertionError`` with a sentence that says what is wrong. They are what ddopt's
own tests use.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Point, Problem
from ddopt.evaluation.question import answered
from ddopt.numerics.vectors import norm
from ddopt.testing.asking import Gate, Gated
from ddopt.testing.conduct import check_conduct, fresh, told
from ddopt.testing.problems import regression
from ddopt.testing.solver import advance, check_answers
from ddopt.testing.start import begin

if TYPE_CHECKING:
    from ddopt.solver import Solver


@told
def check_solver(solver: Solver, problem: Problem | None = None, *, ranks: bool = True) -> None:
    """The solver asks and does not evaluate, decreases f, tells the truth, stays in its ball."""
    check_answers(fresh(solver), *begin(problem), ranks)
    problem, theta = (problem, None) if problem is not None else regression()
    theta = torch.zeros(problem.layout.size, dtype=problem.layout.dtype) if theta is None else theta
    start, gate = problem.at(theta), Gate()
    gated = Gated(problem, gate)
    for ball in (1e-2, math.inf):
        answer = answered(solver.iterate(gated, start, ball, 10), gate.tell)
        assert norm(answer.step) <= ball * (1 + 1e-9), "the accumulated step must stay in the ball"
        assert torch.equal(answer.end.theta, theta + answer.step) or torch.allclose(
            answer.end.theta, theta + answer.step, rtol=1e-14, atol=1e-15
        ), "the answer's step must lead from the start to the answer's end"
        assert answer.decrease == start.value - answer.end.value, (
            "decrease must be f(start) - f(end)"
        )
        assert answer.end.value <= start.value, "ten iterations must not end higher than they began"
        assert answer.accepted + answer.rejected > 0, (
            "an answer counts its iterations as accepted and rejected; where there is none of "
            "either, a run takes the point for stationary, and ends"
        )
    _check_restored(solver, problem, start)


@told
def check_walk(solver: Solver, problem: Problem | None = None, *, ranks: bool = True) -> None:
    """A walk on micro-batches learns, promises a decrease, pays for its passes, keeps to its ball.

    For solvers that are ``stochastic``: nobody has evaluated f at the end of a walk, so what
    ``check_solver`` asks of ``end`` and ``decrease`` cannot be asked of them.
    """
    problem, theta = (problem, None) if problem is not None else regression()
    theta = torch.zeros(problem.layout.size, dtype=problem.layout.dtype) if theta is None else theta
    start, gate = problem.at(theta), Gate()
    assert solver.stochastic, "a walk says stochastic = True, and the engine evaluates its end"
    for ball in (1e-2, math.inf):
        meter = Meter()
        gated = Gated(Metered(problem, meter), gate)
        answer = answered(solver.iterate(gated, start, ball, 10), gate.tell)
        assert norm(answer.step) <= ball * (1 + 1e-6), "the accumulated step must stay in the ball"
        assert answer.end is start, "the end of a walk is not evaluated: the answer gives its start"
        assert answer.decrease > 0.0, "what the gradients promised must be positive"
        assert math.isclose(meter.total, 10 * problem.cost), (
            f"ten passes cost {10 * problem.cost:g} gradients, and {meter.total:g} were evaluated"
        )
    end = problem.at(theta + answer.step).value
    assert end < start.value, f"twenty passes must learn: f went from {start.value:g} to {end:g}"
    _check_restored(solver, problem, start)
    check_conduct(solver, advance(*begin(problem)), "its answer", ranks=ranks)


def _check_restored(solver: Solver, problem: Problem, start: Point) -> None:
    """The state holds everything that the next step depends on."""
    twin = type(solver)(solver.config)
    twin.load_state_dict(solver.state_dict())
    a = solver.solve(problem, start, math.inf, 3)
    b = twin.solve(problem, start, math.inf, 3)
    assert torch.equal(a.step, b.step), "a restored solver must take the same step, bit for bit"

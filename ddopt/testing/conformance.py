"""The checks of solvers: those that are told f, and those that walk on micro-batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.evaluation.meter import Meter, Metered
from ddopt.testing.conduct import check_conduct, fresh
from ddopt.testing.solver import advance, check_answers, solved
from ddopt.testing.start import begin
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.solver import Solver

PASSES = 10  # of a walk


@told
def check_solver(solver: Solver, problem: Problem | None = None, *, ranks: bool = True) -> None:
    """The solver asks and does not evaluate, decreases f, tells the truth, stays in its ball."""
    require(
        not solver.stochastic,
        solver,
        "it says stochastic = True, and is no solver that is told f: check_walk is for it",
    )
    check_answers(fresh(solver), *begin(problem), ranks)


@told
def check_walk(solver: Solver, problem: Problem | None = None, *, ranks: bool = True) -> None:
    """A walk on micro-batches learns, promises a decrease, pays for its passes, keeps to its ball.

    For solvers that are ``stochastic``: nobody has evaluated f at the end of a walk, so what
    ``check_solver`` asks of ``end`` and ``decrease`` cannot be asked of them.
    """
    problem, theta = begin(problem)
    require(
        solver.stochastic,
        solver,
        "a walk says stochastic = True, for the engine to evaluate its end; without it, "
        "check_solver is for it",
    )
    check_conduct(solver, advance(problem, theta), "its answer", ranks=ranks)
    start, one = problem.at(theta), fresh(solver)
    for ball in (1e-2, math.inf):
        meter = Meter()
        answer = solved(one, Metered(problem, meter), start, ball, PASSES)
        require(
            answer.end is start,
            solver,
            "Answer.end must be the start: nobody has evaluated f at the end of a walk",
        )
        require(
            answer.decrease > 0.0,
            solver,
            "Answer.decrease must be what the gradients promised, a positive number; it is "
            f"{answer.decrease:g}",
        )
        require(
            math.isclose(meter.total, PASSES * problem.cost),
            solver,
            f"{PASSES} passes cost {PASSES * problem.cost:g} gradients, and {meter.total:g} were "
            "charged: evaluate each micro-batch once, through the problem that is given",
        )
    end = problem.at(theta + answer.step).value
    require(
        end < start.value,
        solver,
        f"{2 * PASSES} passes must learn: f went from {start.value:g} to {end:g}",
    )

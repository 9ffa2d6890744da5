"""The check of strategies: whole methods."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ddopt.executor import Serial
from ddopt.method import contract
from ddopt.method.engine import Engine
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.conduct import bits, fresh, on_two_processes, saved
from ddopt.testing.start import begin
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.strategy import Strategy

ITERATIONS = 8


@told
def check_strategy(
    strategy: Strategy, problem: Problem | None = None, *, ranks: bool = True
) -> None:
    """It makes parts anew, decreases f, goes on as it was when resumed, on any process count."""
    problem, theta = begin(problem)
    new, options = resolve(fresh(strategy), TrustRegion.Config())
    made = [contract.parts(strategy, new.parts(options)) for _ in range(2)]
    pairs = {
        part: [getattr(parts.preconditioner, part, None) for parts in made]
        for part in contract.PARTS
    }
    pairs["solver of the global pass"] = [getattr(p.global_pass, "solver", None) for p in made]
    for part, pair in pairs.items():
        require(
            pair[0] is None or pair[0] is not pair[1],
            strategy,
            f"parts() must make new parts each time it is called; the {part} is one object for two "
            "runs, which would share what it remembers",
        )
    require(repr(made[0]) == repr(made[1]), strategy, "parts() must give the same parts each time")
    engine = _engine(strategy, Serial())
    engine.start(problem, theta)
    first = engine.point.value  # type: ignore[union-attr]
    reports = [engine.step(problem) for _ in range(ITERATIONS // 2)]
    middle = saved(engine.state_dict())
    reports += [engine.step(problem) for _ in range(ITERATIONS // 2)]
    kept = bits(engine.point.theta)  # type: ignore[union-attr]
    last = engine.point.value  # type: ignore[union-attr]
    require(
        math.isfinite(last) and last < first,
        strategy,
        f"after {ITERATIONS} iterations on a small regression f is {last:g}, and it was {first:g}",
    )
    require(
        all(report.total > 0.0 for report in reports),
        strategy,
        "iterations are charged nothing: evaluate through the problem that components are given",
    )
    _check_count(strategy, engine)
    resumed = _engine(strategy, Serial())
    resumed.prepare(problem.layout, problem)
    resumed.load_state_dict(middle)
    for _ in range(ITERATIONS // 2):
        resumed.step(problem)
    require(
        bits(resumed.point.theta) == kept,  # type: ignore[union-attr]
        strategy,
        "a run that is resumed in the middle goes on differently: check each of its parts alone",
    )
    if ranks:
        _check_processes(strategy, problem, theta, kept)


def _engine(strategy: Strategy, executor: Executor) -> Engine:
    new, options = resolve(fresh(strategy), TrustRegion.Config())
    with contract.blamed(strategy, "parts()"):
        parts = new.parts(options)
    return Engine(contract.parts(strategy, parts), executor)


def _check_count(strategy: Strategy, engine: Engine) -> None:
    parts = engine.parts.preconditioner
    given = len(parts.decomposition.split(begin(None)[0])) if parts is not None else 1
    if "subdomains" in type(strategy.config).model_fields:
        require(
            given == strategy.subdomains,
            strategy,
            f"its decomposition gives {given} subdomains, and the property subdomains says "
            f"{strategy.subdomains}",
        )


def _check_processes(strategy: Strategy, problem: Any, theta: Any, kept: Any) -> None:
    def outcome(executor: Executor) -> Any:
        engine = _engine(strategy, executor)
        engine.start(problem, theta)
        for _ in range(ITERATIONS):
            engine.step(problem)
        return bits(engine.point.theta)  # type: ignore[union-attr]

    found = on_two_processes(strategy, outcome, timeout=120.0)
    require(
        all(one == kept for one in found),
        strategy,
        "two processes find another θ than one; check each of its parts alone",
    )

"""Conformance of executors: the numbers of the serial one, whoever evaluates and wherever."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ddopt.decomposition.data import Data
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.question import Value, asked
from ddopt.executor import Serial
from ddopt.method.blame import described
from ddopt.numerics.vectors import norm
from ddopt.solver import Answer
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.conduct import bits
from ddopt.testing.problems import regression
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.evaluation.question import Asking
    from ddopt.executor import Executor

COUNT = 5  # subdomains: more than most tests have processes, and no multiple of them


@told
def check_executor(executor: Executor, close: float = 0.0) -> None:
    """It carries out, reduces and gathers as ``serial`` does; every process must call this.

    Args:
        executor: of this process.
        close: the relative difference that answers may have from those of ``serial``; 0: none.
    """
    owned = list(executor.owned(COUNT))
    mine = [d for d in range(COUNT) if executor.owner(d) == executor.rank]
    require(
        owned == mine,
        executor,
        f"owned() and owner() must share out {COUNT} subdomains, each to one process; on process "
        f"{executor.rank} of {executor.size} owned() says {owned}, and owner() {mine}",
    )
    rows = executor.numbers({d: [float(d)] for d in owned}, COUNT)
    require(
        rows == [[float(d)] for d in range(COUNT)],
        executor,
        "numbers() must give the numbers of all subdomains, in order, as lists of floats; it gave "
        f"{rows!r:.80}",
    )
    wanted, paid = _solved(Serial(), range(COUNT))
    found, charged = _solved(executor, owned)
    extra = 1.5 / COUNT  # a first answer that is compared with one that was given alone
    _check_answers(executor, found, owned)
    for d, answer in found.items():
        off, size = norm(answer.step - wanted[d].step), norm(wanted[d].step)
        require(
            off <= close * size,
            executor,
            f"the step of subdomain {d} is {off / size:g} off that of serial, relatively; "
            f"{close:g} is allowed. Each asking must be told the answers to its own questions",
        )
        require(
            paid[d] * (1 - 1e-9) <= charged[d] <= paid[d] + extra,
            executor,
            f"carrying out subdomain {d} has charged {charged[d]:g} evaluations, and serial charges"
            f" {paid[d]:g}: evaluate what is asked, once, through the problem of the question",
        )
    problem, theta = regression()
    point = executor.carry_out({0: asked(Value(problem, theta))})[0]
    value = problem.at(theta).value
    require(
        abs(point.value - value) <= close * abs(value),
        executor,
        f"one question must be answered as serial does: f is {value!r}, and it says "
        f"{point.value!r}",
    )
    _check_reductions(executor, {d: answer.step for d, answer in wanted.items()})


def _solved(executor: Executor, of: Any) -> tuple[dict[int, Answer], dict[int, float]]:
    """The answers of five local solves, and what each of them has charged."""
    problem, theta = regression()
    meters = {d: Meter() for d in of}
    askings: dict[int, Asking[Answer]] = {}
    for one in Data(subdomains=COUNT).split(problem):
        if one.index in meters:
            metered = Metered(problem, meters[one.index])
            part = one.objective(metered, problem.at(theta))
            solver = TrustRegion(hessian="lsr1")
            askings[one.index] = solver.iterate(part, part.both(theta), math.inf, 4)
    found = executor.carry_out(askings)
    return found, {d: meter.total for d, meter in meters.items()}


def _check_answers(executor: Executor, found: Any, owned: list[int]) -> None:
    wanted = "carry_out() must return what every asking returns when it has been answered to its "
    wanted += "end, by subdomain"
    right = isinstance(found, dict) and sorted(found) == owned
    shown = f"those of {sorted(found)}" if isinstance(found, dict) else described(found)
    require(right, executor, f"{wanted}; asked for {owned}, it returned {shown}")
    for d, answer in found.items():
        right = isinstance(answer, Answer)
        require(right, executor, f"{wanted}; for {d} it returned {described(answer)}")


def _check_reductions(executor: Executor, steps: dict[int, torch.Tensor]) -> None:
    """sum, each, numbers and pick, to the last bit; what is given and what was returned stays."""
    own = {d: steps[d].clone() for d in executor.owned(COUNT)}
    given = bits(own)
    like, sizes = steps[0], [len(steps[0])] * COUNT
    total = executor.sum(own, COUNT, like)
    require(
        bits(own) == given,
        executor,
        "sum() changed a vector that it was given in place; make a new tensor",
    )
    require(
        bits(total) == bits(Serial().sum(steps, COUNT, like)),
        executor,
        "sum() must add up in the order of ddopt.executor.tree_sum, to the last bit",
    )
    all_of_them = executor.each(own, sizes, like)
    require(
        bits(all_of_them) == bits([steps[d] for d in range(COUNT)]),
        executor,
        "each() must give the vectors of all subdomains, in order",
    )
    rows = executor.numbers({d: [float(d), float(step[0])] for d, step in own.items()}, COUNT)
    require(
        rows == [[float(d), float(steps[d][0])] for d in range(COUNT)],
        executor,
        "numbers() must give the numbers of all subdomains, in order",
    )
    picked = executor.pick(own, 3, like)
    require(bits(picked) == bits(steps[3]), executor, "pick() must give the vector of subdomain d")
    kept = bits([total, picked])
    other = {d: -2.0 * vector for d, vector in own.items()}
    executor.sum(other, COUNT, like), executor.pick(other, 3, like)
    require(
        bits([total, picked]) == kept,
        executor,
        "what sum() or pick() returned has changed after a later call: it returns a buffer of its "
        "own; return a new tensor",
    )

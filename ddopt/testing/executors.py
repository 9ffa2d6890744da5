"""Conformance of executors: the numbers of the serial one, whoever evaluates and wherever."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ddopt.decomposition.data import Data
from ddopt.evaluation.question import Value, asked
from ddopt.executor import Serial
from ddopt.numerics.vectors import norm
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import regression

if TYPE_CHECKING:
    from ddopt.evaluation.question import Asking
    from ddopt.executor import Executor
    from ddopt.solver import Answer

COUNT = 5  # subdomains: more than most tests have processes, and no multiple of them


def check_executor(executor: Executor, close: float = 0.0) -> None:
    """It carries out, reduces and gathers as ``serial`` does; every process must call this.

    Args:
        executor: of this process.
        close: the relative difference that answers may have from those of ``serial``; 0: none.
    """
    problem, theta = regression()
    subdomains = Data(subdomains=COUNT).split(problem)
    owned = executor.owned(COUNT)
    rows = executor.numbers({d: [float(d)] for d in owned}, COUNT)
    assert rows == [[float(d)] for d in range(COUNT)], (
        f"owned() must share out {COUNT} subdomains, each to one process; they are {rows}"
    )
    parts = {one.index: one.objective(problem, problem.at(theta)) for one in subdomains}
    starts = {d: part.both(theta) for d, part in parts.items()}

    def solves(of: range) -> dict[int, Asking[Answer]]:
        return {
            d: TrustRegion(hessian="lsr1").iterate(parts[d], starts[d], math.inf, 4) for d in of
        }

    wanted = Serial().carry_out(solves(range(COUNT)))
    found = executor.carry_out(solves(owned))
    assert sorted(found) == sorted(owned), "carry_out() must return what every asking returns"
    for d, answer in found.items():
        off = norm(answer.step - wanted[d].step)
        size = norm(wanted[d].step)
        assert off <= close * size, (
            f"the step of subdomain {d} is {off / size:g} off that of serial, relatively; "
            f"{close:g} is allowed"
        )
    point = executor.carry_out({0: asked(Value(problem, theta))})[0]
    assert abs(point.value - problem.at(theta).value) <= close * abs(point.value), (
        "one question must be answered as serial does"
    )
    _check_reductions(executor, {d: answer.step for d, answer in wanted.items()})


def _check_reductions(executor: Executor, steps: dict[int, torch.Tensor]) -> None:
    """sum, each, numbers and pick, to the last bit."""
    own = {d: steps[d] for d in executor.owned(COUNT)}
    serial, like, sizes = Serial(), steps[0], [len(steps[0])] * COUNT
    assert torch.equal(executor.sum(own, COUNT, like), serial.sum(steps, COUNT, like)), (
        "sum() must add up in the order of tree_sum"
    )
    assert all(torch.equal(a, steps[d]) for d, a in enumerate(executor.each(own, sizes, like))), (
        "each() must give the vectors of all subdomains, in order"
    )
    rows = executor.numbers({d: [float(d), float(step[0])] for d, step in own.items()}, COUNT)
    assert rows == [[float(d), float(steps[d][0])] for d in range(COUNT)], (
        "numbers() must give the numbers of all subdomains, in order"
    )
    assert torch.equal(executor.pick(own, 3, like), steps[3]), "pick() must give the vector of d"

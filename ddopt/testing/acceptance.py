"""The check of acceptance policies."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ddopt.evaluation.problem import Point
from ddopt.method import contract
from ddopt.testing.conduct import check_conduct, fresh
from ddopt.testing.start import begin
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.acceptance import Acceptance, Verdict

# f before, f after, the promised decrease: some are taken by every policy, some by none, and those
# in between tell policies, and what they remember, apart
TRIALS = [(1.0, 1.5, 0.5), (1.0, 0.9, 0.2), (0.9, 3.0, 0.1), (0.9, 0.8, 0.1), (0.8, 0.81, 0.3)]
POOR = (1.0, 1.0 - 1e-6, 0.5)  # a ratio below the threshold that policies have


@told
def check_acceptance(acceptance: Acceptance, *, ranks: bool = True) -> None:
    """The policy takes what is as good as promised, refuses what is not finite, and is restored."""
    _check_ratio(acceptance)
    policy = fresh(acceptance)
    for before, after in pairwise([8.0, 4.0, 2.0, 1.0]):
        verdict = _judged(policy, before, after, before - after)
        require(
            verdict.accepted, acceptance, "a step that brings what was promised must be taken; "
            f"it got the ratio {verdict.ratio:g}"
        )  # fmt: skip
    for trial in (math.nan, math.inf):
        refused = not _judged(policy, 1.0, trial, 1.0).accepted
        require(refused, acceptance, f"a trial of {trial} must be refused")
    require(
        not _judged(policy, 1.0, 1e3, 1.0).accepted,
        acceptance,
        "a trial a thousand times as high as every value before must be refused",
    )
    _check_threshold(acceptance)
    _check_gradients(acceptance)
    check_conduct(acceptance, _advance, "judge()", ranks=ranks)
    used, new = fresh(acceptance), fresh(acceptance)
    for one in TRIALS:
        used.judge(*(8.0 * number for number in one))
    used.reset()
    same = [_judged(used, *one) == _judged(new, *one) for one in TRIALS]
    require(all(same), acceptance, "after reset() earlier values must be forgotten; it still "
            "judges by them")  # fmt: skip


def _check_ratio(acceptance: Acceptance) -> None:
    """A number without a unit."""
    ratios = []
    for unit in (1.0, 1024.0):
        found = fresh(acceptance).ratio(*(unit * number for number in TRIALS[1]))
        require(
            contract.number(found),
            acceptance,
            f"ratio() must return a number; it returned {contract.described(found)}",
        )
        ratios.append(found)
    require(
        math.isnan(ratios[0]) or math.isclose(*ratios, rel_tol=1e-3),
        acceptance,
        f"ratio() must be a decrease over the predicted one, which has no unit; it is {ratios[0]:g}"
        f", and {ratios[1]:g} where f is 1024 times as large",
    )


def _judged(policy: Any, value: float, trial: float, predicted: float) -> Verdict:
    return contract.verdict(policy, policy.judge(value, trial, predicted))


def _check_threshold(acceptance: Acceptance) -> None:
    """A step below it is not taken."""
    found = _judged(fresh(acceptance), *POOR)
    least = getattr(acceptance.config, "threshold", -math.inf)
    require(
        not found.accepted or found.ratio >= least,
        acceptance,
        f"it takes a step of ratio {found.ratio:g}, and its option threshold is {least:g}",
    )


def _advance(policy: Any, i: int) -> Any:
    """Values fall from call to call, so that what is remembered is not what is at hand."""
    found = [_judged(policy, *(0.5**i * number for number in trial)) for trial in TRIALS]
    return [[verdict.accepted, verdict.ratio] for verdict in found]


def _check_gradients(acceptance: Acceptance) -> None:
    """No step leads away from a point whose gradient is not finite."""
    problem, theta = begin(None)
    point = problem.at(theta)
    broken = Point(theta, 0.5 * point.value, point.gradient * math.nan)
    verdict = fresh(acceptance).consider(problem, point, broken, 0.5 * point.value, 1.0)
    contract.verdict(acceptance, verdict)
    require(
        not verdict.accepted,
        acceptance,
        "a trial whose gradient is not finite must be refused: consider() asks trial.sound()",
    )

"""Questions that a closure answers by being called: is its loss a mean, is it the same twice?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.problem import Samples
from ddopt.executor import Split
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem

FEW = 32  # samples that are asked about; a part that any closure can take
SAME = 1e-5  # relative difference below which two losses are one, rounded in another order
NEAR = 0.25  # how near to 2 a ratio is that a sum gives, and a mean with dropout does not


def same(first: float, second: float) -> bool:
    """Whether two losses are of one function at one point, up to rounding; NaN says nothing."""
    return not abs(first - second) > SAME * max(abs(first), abs(second))


def first_look(problem: Problem, point: Point, *, parts: bool) -> float:
    """Ask before the first step on batches; returns the cost in full gradients.

    ``parts``: whether parts of the batch will be compared with the whole. Raises ``ValueError``
    where they cannot be, and warns of random numbers that are not torch's.
    """
    whole = problem.problem if isinstance(problem, Split) else problem
    if parts and whole.samples is not None:
        return _ask_few(whole, point.theta)
    return look_again(problem, point.theta, point.value)


def look_again(problem: Problem, theta: torch.Tensor, value: float) -> float:
    """Evaluate where ``value`` was found, and warn of another one; returns the cost."""
    if not same(problem.at(theta).value, value):
        _warn_of_draws()
    return problem.cost


def _ask_few(problem: Problem, theta: torch.Tensor) -> float:
    """Ask for a few samples twice, and for all of them two times over in one part.

    A mean does not change where every sample is there twice; a sum doubles, and then the parts of
    a batch are not of the size of the whole.
    """
    assert problem.samples is not None
    few = torch.arange(min(FEW, len(problem.samples)))
    once, twice = problem.part(Samples((few,))), problem.part(Samples((torch.cat([few, few]),)))
    first, second, doubled = (one.at(theta).value for one in (once, once, twice))
    if not same(first, second):
        _warn_of_draws()
    elif first != 0.0 and abs(doubled / first - 2.0) < NEAR:
        raise ValueError(
            "the closure returns a sum over samples: its loss doubles where every sample is there "
            "twice. Parts of a batch can be compared with the whole where closure(part) returns "
            "the mean over the part: divide by len(part), or take reduction='mean'"
        )
    return 2.0 * once.cost + twice.cost


def _warn_of_draws() -> None:
    """Say that two calls at one point gave two losses, so that something draws outside torch."""
    warn(
        "two calls of the closure at the same parameters gave different losses, although torch's "
        "random numbers were put back: it draws elsewhere (NumPy, random, next(loader)), and "
        "losses at two points cannot be compared. Draw before step, and give the batch: "
        "step(closure, batch). This is said once"
    )

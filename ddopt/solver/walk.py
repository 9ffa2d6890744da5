"""A walk: steps of a first-order method that stay inside a ball around the start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.evaluation.question import Both
from ddopt.solver.solver import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking


def walk(
    problem: Problem,
    start: Point,
    ball: float,
    iterations: int,
    direction: Callable[[torch.Tensor], torch.Tensor],
) -> Asking[Answer]:
    """Take ``direction(∇f)`` from point to point, at most ``iterations`` times.

    The step that would leave the ball is cut at its boundary and is the last one. A point where f
    or its gradient is not finite is not entered: ``direction`` never sees such a gradient. Each
    step takes one evaluation.
    """
    point, tried, taken, non_finite = start, 0, 0, 0
    stopped = not start.sound(problem.geometry)
    for _ in range(0 if stopped else iterations):
        moved = point.theta + direction(point.gradient) - start.theta
        length = problem.geometry.norm(moved)
        if not math.isfinite(length):
            break
        if length >= ball:
            moved, stopped = moved * (ball / length), True
        trial: Point = yield Both(problem, start.theta + moved)
        tried += 1
        if not trial.sound(problem.geometry):
            non_finite += 1
            break
        point, taken = trial, taken + 1
        if stopped:
            break
    return Answer(
        step=point.theta - start.theta,
        decrease=start.value - point.value,
        end=point,
        accepted=taken,
        rejected=tried - taken,
        non_finite=non_finite,
    )

"""A walk: steps of a first-order method that stay inside a ball around the start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.solver.solver import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from ddopt.problem import Point, Problem


def walk(
    problem: Problem,
    start: Point,
    ball: float,
    iterations: int,
    direction: Callable[[torch.Tensor], torch.Tensor],
) -> Answer:
    """Take ``direction(∇f)`` from point to point, at most ``iterations`` times.

    The step that would leave the ball is cut at its boundary and is the last one; a point where f
    or its gradient is not finite is not entered. Each step costs one evaluation.
    """
    point, taken = start, 0
    stopped = False
    for i in range(iterations):
        moved = point.theta + direction(point.gradient) - start.theta
        length = problem.geometry.norm(moved)
        if not math.isfinite(length):
            break
        if length >= ball:
            moved, stopped = moved * (ball / length), True
        last = stopped or i == iterations - 1
        trial = (problem.at if last else problem.both)(start.theta + moved)
        taken += 1
        if not math.isfinite(trial.value):
            break
        point = trial
        if stopped:
            break
    return Answer(
        step=point.theta - start.theta,
        decrease=start.value - point.value,
        end=point,
        accepted=taken,
        evaluations=taken * problem.cost,
    )

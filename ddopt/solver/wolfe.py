"""A line search for the strong Wolfe conditions that never goes beyond the step it is given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.subproblem import Candidate

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.vectors import Geometry
    from ddopt.solver.region import Searched, Visit

DECREASE = 1e-4  # c1
CURVATURE = 0.9  # c2


def wolfe(
    visit: Visit, point: Point, candidate: Candidate, geometry: Geometry, most: int
) -> Asking[Searched]:
    """The first α ∈ (0, 1] found with φ(α) ≤ φ(0) + c1 α φ'(0) and |φ'(α)| ≤ c2 |φ'(0)|.

    φ(α) = f(θ + αp). At α = 1, the border of the trust region, a slope that still falls will do.
    An interval that holds such an α is cut again and again, at the minimiser of a quadratic or in
    the middle (Nocedal and Wright, Algorithm 3.6). After ``most`` points the lowest is returned.

    Returns:
        The step with its part of the predicted decrease, and its end.
    """
    p, dot = candidate.step, geometry.dot
    slope = dot(point.gradient, p)
    low, value, falling = 0.0, point.value, slope  # the best end of the interval, φ and φ' there
    high, alpha = 1.0, 1.0
    best: tuple[float, Point, bool] | None = None  # the last: whether it is finite there
    for _ in range(most):
        trial: Point = yield visit(point.theta + alpha * p)
        enough = trial.value <= point.value + DECREASE * alpha * slope and trial.value <= value
        sound = trial.sound(geometry) if enough else math.isfinite(trial.value)
        better = best is None or not best[2] or (sound and trial.value < best[1].value)
        best = (alpha, trial, sound) if better or best is None else best
        if not (enough and sound):  # too far, or not finite
            high, bent = alpha, trial.value if sound else math.nan
        else:
            there = dot(trial.gradient, p)
            if abs(there) <= CURVATURE * abs(slope) or (alpha == 1.0 and there < 0.0):
                best = (alpha, trial, sound)
                break
            if there * (high - low) >= 0.0:
                high = low
            low, value, falling, bent = alpha, trial.value, there, math.nan
        alpha = _between(low, high, value, falling, bent)
    assert best is not None
    alpha, trial, _ = best
    if alpha == 1.0:
        return candidate, trial
    # −pred(α) = α gᵀp + ½ α² pᵀBp, and pred(1) is known.
    bend = -2.0 * (candidate.predicted + slope)
    predicted = -alpha * slope - 0.5 * alpha**2 * bend
    return Candidate(alpha * p, predicted, alpha * candidate.norm), trial


def _between(low: float, high: float, value: float, falling: float, bent: float) -> float:
    """The next α: the minimiser of the quadratic through both ends if it is well inside."""
    width = high - low
    middle = low + 0.5 * width
    if not math.isfinite(bent):
        return middle
    second = bent - value - falling * width
    share = -0.5 * falling * width / second if second > 0.0 else 0.5
    return low + share * width if 0.1 <= share <= 0.9 else middle

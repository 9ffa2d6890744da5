"""The check of radius rules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ddopt.method import contract
from ddopt.radius import Trial, unusable
from ddopt.testing.conduct import check_conduct, fresh
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.radius import RadiusRule

REJECTED = 200  # in a row; what has not shrunk by then goes on trying the same step
RATIOS = [0.9, -0.5, 0.3, -math.inf, 1.0, 0.05]


def trial(radius: float, ratio: float, share: float = 1.0) -> Trial:
    """A step of a ``share`` of the radius that brought ``ratio`` times what was promised."""
    predicted = 0.1 * radius
    return Trial(
        radius=radius,
        step_norm=share * radius,
        ratio=ratio,
        accepted=ratio >= 1e-4,
        predicted=predicted,
        slope=-predicted,
        change=-ratio * predicted,
    )


@told
def check_radius(rule: RadiusRule, *, ranks: bool = True) -> None:
    """Radii are finite and positive, fall where steps fail, and do not fall where they succeed."""
    for first in (1e-3, 1.0, 1e3):
        one, radius = fresh(rule), first
        for _ in range(REJECTED):
            radius = _next(one, trial(radius, -1.0))
        require(
            radius <= 0.1 * first,
            rule,
            f"after {REJECTED} rejected steps in a row the radius is {radius:g}, and it was "
            f"{first:g}: update() must shrink it, or the same step is tried for ever",
        )
        one = fresh(rule)
        grown = _next(one, trial(first, 1.0))
        require(
            grown >= first,
            rule,
            f"after a step that kept its promise update() shrinks the radius, from {first:g} to "
            f"{grown:g}",
        )
    one, radius = fresh(rule), 1.0
    for _ in range(3):
        radius = _next(one, unusable(radius, 0.0))
        require(
            0.0 < radius < 1.0,
            rule,
            "where f is not finite (ratio −inf, slope nan) update() must give a smaller radius "
            f"above 0; it gave {radius:g}",
        )
    check_conduct(rule, _advance, "update()", ranks=ranks)


def _advance(rule: Any, i: int) -> Any:
    trials = [trial(2.0**i, ratio, share) for ratio in RATIOS for share in (0.3, 1.0)]
    return [_next(rule, one) for one in (*trials, trials[0])]  # 13: what counts to 2 or 3 is seen


def _next(rule: Any, given: Trial) -> float:
    return contract.radius(rule, rule.update(given), given.radius)

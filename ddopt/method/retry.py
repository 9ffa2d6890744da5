"""A rejected step once more, shorter: its line is known well enough to spare new local solves.

Where a step of several subdomains goes too far, its direction need not be wrong. What is tried next
lies on the same line, so the vectors need not travel again: a retry costs one value of f.

Source: Nocedal and Yuan, Combining trust region and line search techniques (1998). Legend: s the
rejected step, m its model, m(0) = 0, m'(0) = <g, s>, −m(1) the decrease that was predicted.
"""

from __future__ import annotations

import math

SHORTEST, LONGEST = 0.1, 0.5  # of the rejected step, Nocedal and Wright, section 3.5


def shortened(slope: float, change: float) -> float:
    """The factor τ at which the parabola through f has its minimum, kept within [0.1, 0.5].

    Args:
        slope: <g, s>.
        change: f(θ + s) − f(θ); not finite where f is not.
    """
    bend = change - slope
    if not math.isfinite(bend):
        return SHORTEST
    best = -slope / (2.0 * bend) if bend > 0.0 else LONGEST
    return min(max(best, SHORTEST), LONGEST)


def predicted_at(tau: float, slope: float, predicted: float) -> float:
    """−m(τ) of the parabola m with the slope at 0 and the predicted decrease at 1."""
    return tau * (tau * (predicted + slope) - slope)

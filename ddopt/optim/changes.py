"""Is the loss still the function that it was in the last step? Closures do not say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ddopt.acceptance.acceptance import ROUND_OFF
from ddopt.numerics.vectors import dot

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point

PATIENCE = 3  # rejections in a row after which the loss at the iterate is looked at again
SELDOM = 64  # steps before the first look that nothing has asked for
MISFIT = 0.2  # of a change of f, what its slopes at both ends may leave unexplained
SAME = 1e-9  # relative difference below which two evaluations are of one function, in float64


class Changes:
    """Compares two evaluations at one iterate, where there is a reason to.

    Another function once is new points, or new weights. Twice in a row it is mini-batches:
    ``stochastic`` from then on, so that every step evaluates anew.
    """

    def __init__(self, stochastic: bool | None) -> None:
        self.stochastic = stochastic  # None until it has been found out
        self.lately = False  # whether the last look found another function
        self._rejections = 0  # in a row
        self._misfit = 0.0  # of the last step
        self._patient = 0  # steps before which a misfit is no reason to look

    def due(self, steps: int) -> bool:
        """Look again where something says that f may have changed.

        That is a change at the last look; a step whose values do not fit the slopes at its ends,
        the second time after twice as many steps; 3, 6, 12, ... rejections in a row. Without any
        of that a look is worth little and costs an evaluation: after 64, 128, 256, ... steps.
        """
        if self.stochastic is False:
            return False
        unasked = steps >= SELDOM and steps & (steps - 1) == 0
        failures, rest = divmod(self._rejections, PATIENCE)
        stuck = failures > 0 and rest == 0 and failures & (failures - 1) == 0
        unfit = self._misfit > MISFIT and steps >= self._patient
        if unfit:
            self._patient = 2 * steps
        return unasked or self.lately or stuck or unfit

    def stepped(self, length: float, before: Point | None = None, now: Point | None = None) -> None:
        """Count a step of that length, from one point to the other where they have gradients."""
        self._rejections = 0 if length > 0.0 else self._rejections + 1
        self._misfit = 0.0
        if length > 0.0 and before is not None and now is not None:
            self._misfit = misfit(before, now)

    def compared(self, before: float, now: float, epsilon: float) -> bool:
        """Whether the two values at one iterate, of round-off ``epsilon``, are of one function.

        Sums in another order, as atomic additions on a GPU make them, differ by round-off.
        """
        same = abs(now - before) <= max(SAME, ROUND_OFF * epsilon) * abs(before)
        if not same and self.lately:
            self.stochastic = True
        self.lately = not same
        return same

    def lost(self) -> bool:
        """A look has found no numbers where there were some: may that be an accident?

        The next step looks again, and twice in a row is none.
        """
        accident, self.lately = not self.lately, True
        return accident

    def evaluated_anew(self) -> None:
        """Nothing could be compared: the samples are others, as said."""
        self.lately = False

    def state_dict(self) -> dict[str, Any]:
        """What has been found out, as plain numbers."""
        return {
            "rejections": self._rejections,
            "stochastic": self.stochastic,
            "changed_before": self.lately,
            "misfit": self._misfit,
            "patient": self._patient,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._rejections, self.stochastic = state["rejections"], state["stochastic"]
        self.lately = state["changed_before"]
        self._misfit, self._patient = state["misfit"], state["patient"]


def misfit(before: Point, now: Point) -> float:
    """|Δf − ½ sᵀ(g + g⁺)| / |Δf|: 0 for a quadratic, O(‖s‖²) for one smooth function.

    Values of two functions differ by what no slope knows of.
    """
    change, step = now.value - before.value, now.theta - before.theta
    slopes = 0.5 * (dot(before.gradient, step) + dot(now.gradient, step))
    return abs(change - slopes) / abs(change) if change != 0.0 else math.inf

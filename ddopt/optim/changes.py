"""Is the loss still the function that it was in the last step? Closures do not say."""

from __future__ import annotations

from typing import Any

from ddopt.acceptance.acceptance import ROUND_OFF

PATIENCE = 2  # rejections in a row after which the loss at the iterate is looked at again
SAME = 1e-9  # relative difference below which two evaluations are of one function, in float64


class Changes:
    """Compares two evaluations at one iterate now and then.

    Another function once is new points, or new weights. Twice in a row it is mini-batches:
    ``stochastic`` from then on, so that every step evaluates anew.
    """

    def __init__(self, stochastic: bool | None) -> None:
        self.stochastic = stochastic  # None until it has been found out
        self.lately = False  # whether the last look found another function
        self._rejections = 0  # in a row

    def due(self, steps: int) -> bool:
        """Look again after 1, 2, 4, 8, ... steps, after a change, and when nothing succeeds."""
        if self.stochastic is False:
            return False
        power_of_two = steps & (steps - 1) == 0
        return power_of_two or self.lately or self._rejections >= PATIENCE

    def stepped(self, length: float) -> None:
        """Count a step of that length."""
        self._rejections = 0 if length > 0.0 else self._rejections + 1

    def compared(self, before: float, now: float, epsilon: float) -> bool:
        """Whether the two values at one iterate, of round-off ``epsilon``, are of one function.

        Sums in another order, as atomic additions on a GPU make them, differ by round-off.
        """
        same = abs(now - before) <= max(SAME, ROUND_OFF * epsilon) * abs(before)
        if not same and self.lately:
            self.stochastic = True
        self.lately = not same
        return same

    def evaluated_anew(self) -> None:
        """Nothing could be compared: the samples are others, as said."""
        self.lately = False

    def state_dict(self) -> dict[str, Any]:
        """What has been found out, as plain numbers."""
        return {
            "rejections": self._rejections,
            "stochastic": self.stochastic,
            "changed_before": self.lately,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._rejections, self.stochastic = state["rejections"], state["stochastic"]
        self.lately = state["changed_before"]

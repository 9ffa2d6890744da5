"""Steps that change nothing: when it is enough, and when to look again all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddopt.method.parts import StepReport

PATIENCE = 20  # steps in a row; local radii may still be shrinking while nothing else changes


class Idleness:
    """Whether steps still bring anything: none does where no solver finds one to try.

    Nor do steps that are rejected again and again while the radius is at its lower bound. What has
    been found holds for one function: another one, or other parameters, end the idleness.
    """

    def __init__(self) -> None:
        self.over()

    def over(self) -> None:
        """Begin anew."""
        self._stationary, self._count, self._rests = False, 0, 0
        self._radius: float | None = None

    @property
    def long(self) -> bool:
        """Whether a further step on the same function would be for nothing."""
        return self._stationary or self._count >= PATIENCE

    @property
    def due(self) -> bool:
        """Whether to look if it is still the same function: after 1, 2, 4, 8, ... rests."""
        return self._rests & (self._rests - 1) == 0

    def stepped(self, report: StepReport, radius: float | None) -> None:
        """Count a step, and the radius after it."""
        moved = report.accepted or report.global_accepted > 0
        idle = not moved and radius == self._radius
        self._count, self._radius = self._count + 1 if idle else 0, radius
        self._stationary = not report.tried and not report.non_finite

    def rested(self) -> None:
        """Count a step that was not taken."""
        self._rests += 1

    def state_dict(self) -> dict[str, Any]:
        """What has been counted, as plain numbers."""
        return {
            "stationary": self._stationary,
            "count": self._count,
            "rests": self._rests,
            "radius": self._radius,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._stationary, self._count = state["stationary"], state["count"]
        self._rests, self._radius = state["rests"], state["radius"]

"""Acceptance that trusts the model for the first steps, and is monotone afterwards."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ddopt.acceptance.acceptance import Acceptance, Verdict

BEYOND = 1e8  # times f: where the equation does not feel u at the start, a step leads anywhere


class FreeStart(Acceptance):
    """The first steps are taken although f rises, up to ``BEYOND`` times; then f must decrease.

    From far away the linear model of a differential equation is right about where to go and wrong
    about f: Burgers' equation from its initial condition goes through values of f a thousand times
    the first one and ends in five steps, while a monotone policy stalls. Their ratio is 1, as where
    a comparison means nothing.
    """

    name = "free_start"

    class Config(Acceptance.Config):
        """How long it trusts."""

        free: int = Field(3, ge=0, description="accepted steps that need not decrease f")

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._taken = 0

    def judge(self, value: float, trial: float, predicted: float) -> Verdict:
        """Take a trial while steps are free, unless f is beyond all bounds there."""
        verdict = super().judge(value, trial, predicted)
        free = self._taken < self.config.free and predicted > 0.0
        if free and not verdict.accepted and trial <= BEYOND * value:
            verdict = Verdict(accepted=True, ratio=1.0)
        if verdict.accepted:
            self._taken += 1
        return verdict

    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """(f − f⁺) / pred."""
        return (value - trial) / predicted

    def state_dict(self) -> dict[str, Any]:
        """How many steps have been taken."""
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._taken = int(state["taken"])

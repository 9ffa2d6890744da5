"""Toint's non-monotone acceptance: judge a step alone, or together with those before it."""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field

from ddopt.acceptance.acceptance import Acceptance


class Toint(Acceptance):
    """ρ = max((f_k − f⁺)/m, (f_r − f⁺)/(Σ m since r + m)), r the reference iterate.

    The reference is f at the start, until ``patience`` accepted steps in a row have brought no new
    best; then it is the highest value since the last best one. With ``patience`` 0 it is the best
    one, which makes the policy monotone. A loss that has fallen by many digits pays for large
    rises: on Poisson-2D the error after 300 evaluations is 2e-2, and 6e-4 with ``monotone``.
    Source: Conn, Gould and Toint, Trust-Region Methods, Algorithm 10.1.2.
    """

    name = "toint"

    class Config(Acceptance.Config):
        """Options of the policy."""

        patience: int = Field(
            5, ge=0, description="accepted steps without a new best before the reference is renewed"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._best = math.inf  # lowest accepted value
        self._reference = -math.inf  # f_r
        self._since_reference = 0.0  # Σ m since the reference
        self._candidate = -math.inf  # highest value since the best: the next reference
        self._since_candidate = 0.0
        self._fruitless = 0

    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """The better of the two ratios."""
        alone = (value - trial) / predicted
        if not math.isfinite(self._reference):
            return alone
        return max(alone, (self._reference - trial) / (self._since_reference + predicted))

    def remember(self, value: float, trial: float, predicted: float) -> None:
        """Update best, candidate and reference with an accepted trial."""
        if not math.isfinite(self._best):
            self._best = self._candidate = self._reference = value
        self._since_reference += predicted
        self._since_candidate += predicted
        if trial < self._best:
            self._best = self._candidate = trial
            self._since_candidate, self._fruitless = 0.0, 0
        else:
            self._fruitless += 1
            if trial > self._candidate:
                self._candidate, self._since_candidate = trial, 0.0
        if self._fruitless == self.config.patience:
            self._reference, self._since_reference = self._candidate, self._since_candidate

    def state_dict(self) -> dict[str, Any]:
        """All six numbers."""
        return {key: value for key, value in vars(self).items() if key.startswith("_")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        vars(self).update(state)

"""Averaged non-monotone acceptance: compare with a running mean of accepted values."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ddopt.acceptance.acceptance import Acceptance


class Averaged(Acceptance):
    """f_ref = C_k, C_{k+1} = (η Q_k C_k + f_{k+1}) / Q_{k+1}, Q_{k+1} = η Q_k + 1.

    η = 0 is monotone, η = 1 the mean of all values. Source: Zhang and Hager, SIAM J. Optim. 14
    (2004), equation 1.6.
    """

    name = "averaged"

    class Config(Acceptance.Config):
        """Options of the mean."""

        memory: float = Field(0.85, ge=0.0, le=1.0, description="weight η of the past; 0.85 there")

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._mean: float | None = None  # C_k
        self._weight = 1.0  # Q_k

    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """ρ = (C_k − f⁺) / pred; C_k is never below f_k."""
        reference = value if self._mean is None else max(self._mean, value)
        return (reference - trial) / predicted

    def remember(self, value: float, trial: float, predicted: float) -> None:
        """Let the accepted value enter the mean."""
        mean = value if self._mean is None else self._mean
        weight = self.config.memory * self._weight + 1.0
        self._mean = (self.config.memory * self._weight * mean + trial) / weight
        self._weight = weight

    def state_dict(self) -> dict[str, Any]:
        """The mean and its weight."""
        return {"mean": self._mean, "weight": self._weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._mean, self._weight = state["mean"], float(state["weight"])

"""Adam's moments: running means of the gradient and of its square, corrected for their start."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from ddopt.setup.component import Settings


class MomentSettings(Settings):
    """The decay rates of Kingma and Ba, arXiv 1412.6980."""

    beta1: float = Field(0.9, ge=0.0, lt=1.0, description="decay of the mean gradient")
    beta2: float = Field(0.999, ge=0.0, lt=1.0, description="decay of the mean squared gradient")
    epsilon: float = Field(1e-8, gt=0.0, description="added to the root of the second moment")


class Moments:
    """m ← β1 m + (1 − β1) g, v ← β2 v + (1 − β2) g²; both of shape (n_d,)."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Start anew."""
        self.count = 0
        self.first: torch.Tensor | None = None
        self.second: torch.Tensor | None = None

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate both moments; at rest they are zero."""
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)

    def update(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in a gradient; returns m̂ / (√v̂ + ε) and the scaling 1 / (√v̂ + ε)."""
        beta1, beta2 = self.config.beta1, self.config.beta2
        self.count += 1
        zero = torch.zeros_like(g)
        self.first = torch.lerp(g, zero if self.first is None else self.first, beta1)
        self.second = torch.lerp(g * g, zero if self.second is None else self.second, beta2)
        mean = self.first / (1.0 - beta1**self.count)
        scale = 1.0 / ((self.second / (1.0 - beta2**self.count)).sqrt() + self.config.epsilon)
        return mean * scale, scale

    def state_dict(self) -> dict[str, Any]:
        """The moments and their count."""
        if self.first is None or self.second is None:
            return {"count": 0}
        return {"count": self.count, "first": self.first, "second": self.second}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.count = int(state["count"])
        self.first, self.second = state.get("first"), state.get("second")

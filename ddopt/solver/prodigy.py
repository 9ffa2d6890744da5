"""Adam without a learning rate: Prodigy's length, and the mean of the path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.numerics.vectors import CHUNK
from ddopt.solver.averaged import AveragedWalk, WalkSettings
from ddopt.solver.distance import copied

if TYPE_CHECKING:
    from ddopt.numerics.space import Layout


class Prodigy(AveragedWalk):
    """Adam's direction m / (√v + ε) with an adapted length (Mishchenko and Defazio, 2306.06101).

    The moments start at zero and are not corrected for it, as in the paper: the first steps are
    shorter than d. The length is measured in the ∞-norm, and its gradients in the 1-norm.
    """

    name = "prodigy"

    class Config(WalkSettings):
        """The walk, and the decay of the second moment."""

        beta2: float = Field(0.99, ge=0.0, lt=1.0, description="decay of the mean squared gradient")
        epsilon: float = Field(1e-8, gt=0.0, description="added to the root of the second moment")

    first: torch.Tensor | None = None  # shape: (n_d,)
    second: torch.Tensor | None = None
    _along: torch.Tensor | None = None  # room for the direction

    def direction(self, layout: Layout, g: torch.Tensor) -> torch.Tensor:
        """m / (√v + ε)."""
        if self.first is None or self.second is None:
            self.first, self.second = torch.zeros_like(g), torch.zeros_like(g)
        if self._along is None:
            self._along = torch.empty_like(g)
        size = CHUNK if g.device.type == "cpu" else max(len(g), 1)  # all passes over it in cache
        beta, beta2, epsilon = self.config.momentum, self.config.beta2, self.config.epsilon
        vectors = (v.split(size) for v in (g, self.first, self.second, self._along))
        for own, m, v, along in zip(*vectors, strict=True):
            m.lerp_(own, 1.0 - beta)
            v.mul_(beta2).addcmul_(own, own, value=1.0 - beta2)
            torch.sqrt(v, out=along).add_(epsilon)
            torch.div(m, along, out=along)
        return self._along

    def steepest(self, layout: Layout, u: torch.Tensor) -> torch.Tensor:
        """Signs."""
        return u.sign()

    def forget(self) -> None:
        """Drop the moments."""
        self.first = self.second = None

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the vectors."""
        super().prepare(like)
        self.first, self.second = torch.zeros_like(like), torch.zeros_like(like)

    def state_dict(self) -> dict[str, Any]:
        """The walk and the moments."""
        moments = {"first": self.first, "second": self.second}
        return super().state_dict() | {k: v for k, v in moments.items() if v is not None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        super().load_state_dict(state)
        self.first, self.second = copied(state, "first"), copied(state, "second")

"""Muon without a learning rate: spectral steps of adapted length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.solver.averaged import AveragedWalk, WalkSettings
from ddopt.solver.distance import copied
from ddopt.solver.spectral import steepest

if TYPE_CHECKING:
    from ddopt.numerics.space import Layout


class Muon(AveragedWalk):
    """Steepest descent in the spectral norm of every layer, along the momentum (Nesterov's way).

    A direction costs about thirty products of the sides of each matrix: little beside the gradient
    of a transformer, where every sample is many tokens; much beside that of a wide perceptron.
    """

    name = "muon"
    Config = WalkSettings

    mean: torch.Tensor | None = None  # shape: (n_d,)

    def direction(self, layout: Layout, g: torch.Tensor) -> torch.Tensor:
        """O(m̄), where m̄ is the momentum of the next step, were its gradient this one."""
        beta = self.config.momentum
        self.mean = torch.lerp(g, torch.zeros_like(g) if self.mean is None else self.mean, beta)
        return steepest(layout, torch.lerp(g, self.mean, beta))

    def steepest(self, layout: Layout, u: torch.Tensor) -> torch.Tensor:
        """Orthogonal factors."""
        return steepest(layout, u)

    def forget(self) -> None:
        """Drop the momentum."""
        self.mean = None

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the vectors."""
        super().prepare(like)
        self.mean = torch.zeros_like(like)

    def state_dict(self) -> dict[str, Any]:
        """The walk and the momentum."""
        state = super().state_dict()
        return state if self.mean is None else {**state, "mean": self.mean}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        super().load_state_dict(state)
        self.mean = copied(state, "mean")

"""Gradient descent with momentum, inside a ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.setup.component import Settings
from ddopt.solver.solver import Solver
from ddopt.solver.walk import walk

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.solver.solver import Answer


class SGD(Solver):
    """v ← μ v + g, θ ← θ − lr v (torch.optim.SGD's convention), cut at the ball."""

    name = "sgd"

    class Config(Settings):
        """Step length and momentum; the only solver family here that needs a learning rate."""

        lr: float = Field(0.1, gt=0.0, description="step length")
        momentum: float = Field(0.9, ge=0.0, lt=1.0, description="momentum μ")

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.velocity: torch.Tensor | None = None  # shape: (n_d,); lives as long as the run

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Walk downhill; the velocity is kept for the next call."""
        return walk(problem, start, ball, iterations, self._direction)

    def _direction(self, g: torch.Tensor) -> torch.Tensor:
        v = g if self.velocity is None else self.config.momentum * self.velocity + g
        self.velocity = v
        return -self.config.lr * v

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the velocity."""
        self.velocity = torch.zeros_like(like)

    def reset(self) -> None:
        """Stand still."""
        self.velocity = None

    def state_dict(self) -> dict[str, Any]:
        """The velocity."""
        return {} if self.velocity is None else {"velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the velocity."""
        self.velocity = state.get("velocity")

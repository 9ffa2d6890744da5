"""Adam, inside a ball."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.solver.moments import Moments, MomentSettings
from ddopt.solver.solver import Solver
from ddopt.solver.walk import walk

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.solver.solver import Answer


class Adam(Solver):
    """θ ← θ − lr m̂ / (√v̂ + ε) (Kingma and Ba, arXiv 1412.6980, Algorithm 1), cut at the ball."""

    name = "adam"

    class Config(MomentSettings):
        """Step length, and the decay rates."""

        lr: float = Field(1e-3, gt=0.0, description="step length")

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.moments = Moments(self.config)  # lives as long as the run

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Walk; the moments are kept for the next call."""
        return walk(
            problem,
            start,
            ball,
            iterations,
            lambda g: -self.config.lr * self.moments.update(g)[0],
        )

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the moments."""
        self.moments.prepare(like)

    def reset(self) -> None:
        """Forget the moments."""
        self.moments.reset()

    def state_dict(self) -> dict[str, Any]:
        """The moments."""
        return self.moments.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the moments."""
        self.moments.load_state_dict(state)

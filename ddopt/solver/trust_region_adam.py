"""Trust-region Adam: Adam's direction, a trust region's length; no learning rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ddopt.solver.moments import Moments, MomentSettings
from ddopt.solver.region import Region, RegionSettings
from ddopt.solver.solver import Solver
from ddopt.subproblem import Candidate

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.solver.solver import Answer


class TrustRegionAdam(Solver):
    """Steps of length Δ along −m̂ / (√v̂ + ε), judged by the decrease that the gradient promises.

    Where the momentum points uphill, the step follows −g / (√v̂ + ε) instead, which never does.
    """

    name = "trust_region_adam"

    class Config(MomentSettings, RegionSettings):
        """Decay rates, and the parts of the trust region."""

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.moments = Moments(self.config)
        self.region = Region(self.config)

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Iterate from ``start``; moments and radius are kept for the next call."""
        return self.region.iterate(problem, start, ball, iterations, self)

    def propose(self, problem: Problem, point: Point, radius: float) -> Candidate:
        """A step of length ``radius``, and the decrease <−g, step>."""
        g, dot = point.gradient, problem.geometry.dot
        before = self.moments.state_dict()
        along, scale = self.moments.update(g)
        direction = -along if dot(g, along) > 0.0 else -scale * g
        length = problem.geometry.norm(direction)
        if not math.isfinite(length):  # nor is g, from which nothing is to be learned
            self.moments.load_state_dict(before)
        if not 0.0 < length < math.inf:
            return Candidate(torch.zeros_like(g), 0.0, 0.0)
        step = direction * (radius / length)
        return Candidate(step, -dot(g, step), radius)

    learns_always = False  # a rejected trial's gradient has no use

    @property
    def radius(self) -> float:
        """The current radius."""
        return self.region.radius

    def observe(self, point: Point, trial: Point, candidate: Candidate, accepted: bool) -> None:
        """The moments have taken in the gradient already."""

    def resize(self, radius: float) -> None:
        """Begin the next call with this radius."""
        self.region.radius = radius

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the moments."""
        self.moments.prepare(like)

    def reset(self) -> None:
        """Forget the moments and earlier values."""
        self.moments.reset()
        self.renew()

    def renew(self) -> None:
        """Forget earlier values alone."""
        self.region.acceptance.reset()

    def state_dict(self) -> dict[str, Any]:
        """The trust region's state and the moments."""
        return {"region": self.region.state_dict(), "moments": self.moments.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.region.load_state_dict(state["region"])
        self.moments.load_state_dict(state["moments"])

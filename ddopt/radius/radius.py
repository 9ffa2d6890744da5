"""Radius rules: how the trust-region radius follows the quality of the steps."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from ddopt.component import Component


@dataclass(frozen=True)
class Trial:
    """What a radius rule may know of a trial step s from θ with radius Δ."""

    radius: float  # Δ
    step_norm: float  # ‖s‖ in the norm of the trust region
    ratio: float  # ρ, −inf where f(θ + s) is not finite
    accepted: bool
    predicted: float  # the decrease that was promised; < 0 where local walks have ended higher
    slope: float  # <∇f(θ), s>
    change: float  # f(θ + s) − f(θ)
    first: float = 1.0  # Δ_0, the length that the problem began with


class RadiusRule(Component):
    """Gives the next radius from the last trial."""

    seam = "radius"

    @abstractmethod
    def update(self, trial: Trial) -> float:
        """The radius after ``trial``."""

"""A trial step, as radius rules and reports know it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Trial:
    """What a radius rule may know of a trial step s from θ with radius Δ."""

    radius: float  # Δ
    step_norm: float  # ‖s‖ in the norm of the trust region
    ratio: float  # ρ, −inf where f or ∇f at θ + s, or the model, is not finite
    accepted: bool
    predicted: float  # the decrease that was promised; < 0 where local walks have ended higher
    slope: float  # <∇f(θ), s>; nan where it is not known
    change: float  # f(θ + s) − f(θ); inf where there was no trial
    first: float = 1.0  # Δ_0, the length that the problem began with


def unusable(
    radius: float, predicted: float, change: float = math.inf, first: float = 1.0
) -> Trial:
    """A rejected trial of which nothing is known but that it was no good."""
    return Trial(
        radius=radius,
        step_norm=radius,
        ratio=-math.inf,
        accepted=False,
        predicted=predicted,
        slope=math.nan,
        change=change,
        first=first,
    )

"""A step that is bent until the residuals are those that the linear model promised.

The linear model promises the residuals r + Jp; what stops it is their curvature along p. So the
step is corrected, d ← d − (JᵀJ + σI)⁻¹Jᵀ(r(θ + d) − r − Jp), with the factorisation that gave p.
The first correction is a second-order correction (Conn, Gould and Toint, Trust-Region Methods,
section 15.3.2.3), and geodesic acceleration (Transtrum and Sethna, arXiv 1201.5885) is its leading
term. Each costs residuals, but no Jacobian and no factorisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ddopt.hessian.linear_residuals import DampedStep, LinearResiduals
from ddopt.numerics.vectors import norm

# A correction longer than this share of the step means that the step is too long for its model;
# Transtrum and Sethna (2012) found the same bound for geodesic acceleration.
LONGEST = 0.375


@dataclass(frozen=True)
class Bent:
    """The best of a step and its corrections."""

    step: torch.Tensor  # d, shape (n,)
    residuals: torch.Tensor  # r(θ + d), shape (m,)
    decrease: float  # f(θ) − f(θ + d); nan or −inf where f is not finite
    predicted: float  # the decrease that the linear model promised
    evaluations: int  # of the residuals


def bend(
    residuals: Callable[[torch.Tensor], torch.Tensor],
    model: LinearResiduals,
    plain: DampedStep,
    corrections: int,
    fits: Callable[[torch.Tensor], bool],
) -> Bent:
    """Correct ``plain`` while that helps, and keep the step with the lowest f.

    Args:
        residuals: d ↦ r(θ + d), shape (m,).
        model: at θ.
        plain: the minimiser for some damping.
        corrections: how often at most.
        fits: whether a step may be taken: it stays within some ball.
    """
    step = plain.step
    promised = model.promised(step)
    found = residuals(step)
    best = Bent(step, found, model.decrease(step, found), model.decrease(step, promised), 1)
    evaluations, missed, longest = 1, math.inf, LONGEST * norm(step)
    for _ in range(corrections):
        error = found - promised
        miss = norm(error)
        if not miss < missed:  # the last correction made it worse, or r is not finite
            break
        correction = plain.factorised.fitted(error)
        length, bent = norm(correction), step - correction
        if not 0.0 < length < longest or not fits(bent):
            break
        step, missed, longest = bent, miss, length
        found = residuals(step)
        evaluations += 1
        decrease = model.decrease(step, found)
        if decrease > best.decrease:
            best = Bent(step, found, decrease, best.predicted, evaluations)
    return Bent(best.step, best.residuals, best.decrease, best.predicted, evaluations)

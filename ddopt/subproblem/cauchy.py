"""The Cauchy step: the best step along the direction of steepest descent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.setup.component import Norm, Settings
from ddopt.subproblem.subproblem import Candidate, Subproblem

if TYPE_CHECKING:
    from ddopt.hessian import Model


class Cauchy(Subproblem):
    """Minimises the model along the steepest descent direction of the chosen norm.

    2-norm: −g/‖g‖, and the whole of a ball brings the decrease Δ‖g‖ where B = 0. ∞-norm: −sign(g),
    and Δ‖g‖₁. Source: Conn, Gould and Toint, Trust-Region Methods, section 6.3.
    """

    name = "cauchy"

    class Config(Settings):
        """Options of the Cauchy step."""

        norm: Norm = Field("2", description="norm of the trust region")

    def solve(self, model: Model, radius: float) -> Candidate:
        """The minimiser on the segment from 0 to the boundary."""
        g, dot, norm = model.gradient, model.geometry.dot, model.geometry.norm
        if self.config.norm == "2":
            length = norm(g)
            direction = -g / length if length > 0.0 else torch.zeros_like(g)
        else:
            direction = -torch.sign(g)
        slope = -dot(g, direction)  # decrease per unit of radius, > 0
        if slope <= 0.0:
            return Candidate(torch.zeros_like(g), 0.0, 0.0)
        curvature = dot(direction, model.mv(direction))
        t = radius if curvature <= 0.0 else min(radius, slope / curvature)
        return Candidate(t * direction, t * slope - 0.5 * t * t * curvature, t)

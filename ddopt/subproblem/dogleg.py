"""The dogleg: from the Cauchy point towards the Newton point, up to the boundary."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.subproblem.cauchy import Cauchy
from ddopt.subproblem.steihaug import Steihaug, boundary
from ddopt.subproblem.subproblem import Candidate, Subproblem

if TYPE_CHECKING:
    from ddopt.hessian import Model

CAP = 10_000  # iterations; not of the vector's length, which depends on who holds which piece of it


class Dogleg(Subproblem):
    """Powell's dogleg, for positive definite models; elsewhere the Cauchy step.

    The Newton point is found by conjugate gradients to 1e-10, so any model will do. Source: Conn,
    Gould and Toint, Trust-Region Methods, section 7.5.3.
    """

    name = "dogleg"

    def solve(self, model: Model, radius: float) -> Candidate:
        """The model's minimiser along the path of two legs."""
        cauchy = Cauchy().solve(model, radius)
        newton = Steihaug(iterations=CAP, tolerance=1e-10)
        whole = newton.solve(model, math.inf)
        if cauchy.norm >= radius * (1.0 - 1e-12) or not whole.norm < math.inf:
            return cauchy
        if whole.norm <= radius:
            return whole
        leg = whole.step - cauchy.step
        dot, norm = model.geometry.dot, model.geometry.norm
        step = cauchy.step + boundary(cauchy.step, leg, radius, model.geometry) * leg
        predicted = -dot(model.gradient, step) - 0.5 * dot(step, model.mv(step))
        if not predicted > cauchy.predicted:
            return cauchy
        return Candidate(step, predicted, min(norm(step), radius))

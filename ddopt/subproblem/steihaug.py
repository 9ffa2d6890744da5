"""Truncated conjugate gradients (Steihaug and Toint), for any model that multiplies with B."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.numerics.vectors import LOCAL, Geometry
from ddopt.setup.component import Settings
from ddopt.subproblem.subproblem import Candidate, Subproblem

if TYPE_CHECKING:
    from ddopt.hessian import Model


class Steihaug(Subproblem):
    """Conjugate gradients that stop at the boundary, at negative curvature, or when good enough.

    Source: Conn, Gould and Toint, Trust-Region Methods, Algorithm 7.5.1. The residual is reduced by
    min(tolerance, √(t/Δ)), where t is the length of the step to the minimiser along −g. Near a
    minimum t goes to 0 and Δ does not, so that Newton's method keeps its superlinear convergence;
    the √‖g‖ that is usual there depends on the unit of f.
    """

    name = "steihaug"

    class Config(Settings):
        """When to stop."""

        iterations: int = Field(200, ge=1, description="largest number of products with B")
        tolerance: float = Field(
            0.1, gt=0.0, lt=1.0, description="largest relative residual of the Newton system"
        )

    def solve(self, model: Model, radius: float) -> Candidate:
        """Follow the conjugate directions from 0.

        In a ball without a boundary, a model without a minimum has a step of infinite length.
        """
        dot, norm = model.geometry.dot, model.geometry.norm
        size, step = norm(model.gradient), torch.zeros_like(model.gradient)
        if not 0.0 < size < math.inf:
            return Candidate(step, 0.0, 0.0)
        unit = math.ldexp(1.0, math.frexp(size)[1])  # of f here: near a minimum ‖g‖² is no number
        g, length = model.gradient / unit, size / unit
        residual, product = g, step  # the latter is B step
        goal = length * self.config.tolerance
        direction, square = -g, length * length
        for i in range(self.config.iterations):
            along = model.mv(direction) / unit
            curvature = dot(direction, along)
            to_border = boundary(step, direction, radius, model.geometry)
            alpha = square / curvature if curvature > 0.0 else math.inf
            stop = not alpha < to_border
            alpha = min(alpha, to_border)
            if alpha == math.inf == radius:
                return Candidate(step, math.inf, math.inf)
            if not alpha < math.inf:  # products beyond all numbers: the step so far is one
                break
            if i == 0 and radius < math.inf:
                goal = min(goal, length * math.sqrt(alpha * length / radius))
            step = step + alpha * direction
            product = product + alpha * along
            if stop:
                break
            residual = residual + alpha * along
            fresh = dot(residual, residual)
            if math.sqrt(fresh) <= goal:
                break
            direction = direction * (fresh / square) - residual
            square = fresh
        predicted = unit * (-dot(g, step) - 0.5 * dot(step, product))
        return Candidate(step, predicted, min(norm(step), radius))


def boundary(
    step: torch.Tensor, direction: torch.Tensor, radius: float, geometry: Geometry = LOCAL
) -> float:
    """The τ >= 0 with ‖step + τ direction‖ = radius, without cancellation."""
    if radius == math.inf:
        return math.inf
    a, b = geometry.dot(direction, direction), geometry.dot(step, direction)
    c = geometry.dot(step, step) - radius * radius
    root = math.sqrt(max(b * b - a * c, 0.0))
    return (root - b) / a if b <= 0.0 else max(-c, 0.0) / (root + b)

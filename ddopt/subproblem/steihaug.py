"""Truncated conjugate gradients (Steihaug and Toint), for any model that multiplies with B."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.component import Settings
from ddopt.subproblem.subproblem import Candidate, Subproblem
from ddopt.vectors import LOCAL, Geometry

if TYPE_CHECKING:
    from ddopt.hessian import Model


class Steihaug(Subproblem):
    """Conjugate gradients that stop at the boundary, at negative curvature, or when good enough.

    Source: Conn, Gould and Toint, Trust-Region Methods, Algorithm 7.5.1. The residual is reduced by
    min(tolerance, √‖g‖), which keeps the convergence of Newton's method superlinear.
    """

    name = "steihaug"

    class Config(Settings):
        """When to stop."""

        iterations: int = Field(200, ge=1, description="largest number of products with B")
        tolerance: float = Field(
            0.1, gt=0.0, lt=1.0, description="largest relative residual of the Newton system"
        )

    def solve(self, model: Model, radius: float) -> Candidate:
        """Follow the conjugate directions from 0."""
        g, dot, norm = model.gradient, model.geometry.dot, model.geometry.norm
        length = norm(g)
        step, residual = torch.zeros_like(g), g
        product = torch.zeros_like(g)  # B step
        if length == 0.0:
            return Candidate(step, 0.0, 0.0)
        goal = length * min(self.config.tolerance, math.sqrt(length))
        direction, square = -g, length * length
        for _ in range(self.config.iterations):
            along = model.mv(direction)
            curvature = dot(direction, along)
            to_border = boundary(step, direction, radius, model.geometry)
            alpha = square / curvature if curvature > 0.0 else math.inf
            stop = not alpha < to_border
            alpha = min(alpha, to_border)
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
        predicted = -dot(g, step) - 0.5 * dot(step, product)
        return Candidate(step, predicted, min(norm(step), radius))


def boundary(
    step: torch.Tensor, direction: torch.Tensor, radius: float, geometry: Geometry = LOCAL
) -> float:
    """The τ >= 0 with ‖step + τ direction‖ = radius, without cancellation."""
    a, b = geometry.dot(direction, direction), geometry.dot(step, direction)
    c = geometry.dot(step, step) - radius * radius
    root = math.sqrt(max(b * b - a * c, 0.0))
    return (root - b) / a if b <= 0.0 else max(-c, 0.0) / (root + b)

"""Gauss-Newton: the curvature of a sum of squares, from the Jacobian of its residuals.

    f = ‖r‖²,  g = 2 Jᵀr,  B = 2 JᵀJ

Legend: m residuals, n parameters, J (m, n); J = U diag(√μ) Vᵀ; σ the multiplier of the ball.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field

from ddopt.component import Settings
from ddopt.hessian.hessian import Diagonalised, Hessian, Unknown
from ddopt.subproblem.secular import BallMinimum, minimise_in_ball
from ddopt.vectors import norm

if TYPE_CHECKING:
    from ddopt.problem import Point, Problem
    from ddopt.subproblem import Candidate

NOISE = 8.0  # units of √ε of ‖g‖ below which the part of g outside the range of Jᵀ is round-off

# A correction longer than this share of the step means that the step is too long for its model;
# Transtrum and Sethna (2012) found the same bound for geodesic acceleration.
LONGEST = 0.375


class JacobianModel(Diagonalised):
    """m(p) = <g, p> + ‖J p‖².

    Diagonalised by a QR factorisation of J or, with fewer residuals than parameters as in many a
    physics-informed network, of Jᵀ (the dual system), and the singular values of its triangle.
    ``gradient`` need not be 2 Jᵀr: that of a consistent local objective has a part outside the
    range of Jᵀ, where B is zero.
    """

    def __init__(
        self, gradient: torch.Tensor, jacobian: torch.Tensor, residuals: torch.Tensor | None = None
    ) -> None:
        m, n = jacobian.shape
        self.gradient, self.jacobian = gradient, jacobian
        self.residuals = jacobian.new_zeros(m) if residuals is None else residuals
        # g = 2 Jᵀr + tilt: the first part is known in eigen-coordinates without forming it.
        self.tilt = gradient - 2.0 * (jacobian.T @ self.residuals)
        self._dual = m <= n
        # Not JJᵀ: squaring J would leave singular values below √ε of the largest without a digit,
        # and late in a run the damping is smaller than that.
        tall = jacobian.T if self._dual else jacobian
        vectors, values = torch.linalg.svd(torch.linalg.qr(tall, mode="r").R.mT)[:2]
        kept = values > max(m, n) * torch.finfo(values.dtype).eps * values[0]
        self._values, self._vectors = values[kept], vectors[:, kept]  # √μ, and U or V
        self._multiplier = 0.0

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """2 Jᵀ(J v)."""
        return 2.0 * (self.jacobian.T @ (self.jacobian @ vector))

    def _from_basis(self, weights: torch.Tensor) -> torch.Tensor:
        """V w: from eigen-coordinates (r,) to (n,)."""
        if self._dual:
            return self.jacobian.T @ (self._vectors @ (weights / self._values))
        return self._vectors @ weights

    def _to_basis(self, vector: torch.Tensor) -> torch.Tensor:
        """Vᵀ v: from (n,) to eigen-coordinates (r,)."""
        if self._dual:
            return self._vectors.T @ (self.jacobian @ vector) / self._values
        return self._vectors.T @ vector

    def _pulled(self, error: torch.Tensor) -> torch.Tensor:
        """Vᵀ Jᵀ e = diag(√μ) Uᵀ e: from (m,) to eigen-coordinates (r,)."""
        if self._dual:
            return self._values * (self._vectors.T @ error)
        return self._vectors.T @ (self.jacobian.T @ error)

    def minimise(self, radius: float) -> tuple[torch.Tensor, BallMinimum]:
        """The Levenberg-Marquardt step whose damping fits the radius."""
        tilted = self._to_basis(self.tilt)
        outside = self.tilt - self._from_basis(tilted)
        length = norm(outside)
        inside = 2.0 * self._pulled(self.residuals) + tilted
        slopes = inside.double().cpu().numpy()
        values = 2.0 * self._values.double().cpu().numpy() ** 2
        eps = torch.finfo(self.gradient.dtype).eps
        real = length > NOISE * eps**0.5 * norm(self.gradient)
        if real:
            slopes, values = np.append(slopes, length), np.append(values, 0.0)
        solution = minimise_in_ball(values, slopes, radius)
        self._multiplier = solution.multiplier
        p = torch.from_numpy(solution.coordinates).to(self.jacobian)
        step = self._from_basis(p[: len(inside)])
        return (step + p[-1] * outside / length if real else step), solution

    def correction(self, error: torch.Tensor) -> torch.Tensor:
        """−(JᵀJ + ½σI)⁻¹ Jᵀe, with σ of the last ``minimise``: what takes e (m,) away, (n,)."""
        return -self._from_basis(self._pulled(error) / (self._values**2 + 0.5 * self._multiplier))


class GaussNewton(Hessian):
    """Gauss-Newton curvature; goes with the subproblem ``obs``: Levenberg-Marquardt, exact.

    For problems that give their residuals. The Jacobian takes m n numbers of memory.

    The linear model promises the residuals r + Jp; what stops it is their curvature along p. So
    the step is bent until θ + d really has them: d ← d − (JᵀJ + ½σI)⁻¹Jᵀ(r(θ + d) − r − Jp). The
    first such correction is a second-order correction (Conn, Gould and Toint, Trust-Region Methods,
    section 15.3.2.3), and geodesic acceleration (Transtrum and Sethna, arXiv 1201.5885) is its
    leading term. Each costs residuals, but no Jacobian and no factorisation.
    """

    name = "gauss_newton"
    learns = False

    class Config(Settings):
        """How far to follow the curvature of the residuals."""

        corrections: int = Field(
            3, ge=0, description="how often a step is bent; each costs residuals, no Jacobian"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._last: tuple[Point, JacobianModel] | None = None  # after a rejection it serves again

    def model(self, problem: Problem, point: Point) -> JacobianModel | Unknown:
        """The linearised least-squares model at ``point``."""
        if self._last is None or self._last[0] is not point:
            residuals = problem.residuals(point.theta).detach()
            jacobian = problem.jacobian(point.theta).detach()
            if not (bool(residuals.isfinite().all()) and bool(jacobian.isfinite().all())):
                return Unknown(point.gradient)  # and not kept for the next time
            self._last = point, JacobianModel(point.gradient, jacobian, residuals)
        return self._last[1]

    def refine(
        self, problem: Problem, point: Point, candidate: Candidate, room: float
    ) -> Candidate:
        """Bend the step until the residuals are those that the linear model promised."""
        model = None if math.isnan(candidate.predicted) else self.model(problem, point)
        if not isinstance(model, JacobianModel):
            return candidate
        promised = model.residuals + model.jacobian @ candidate.step
        # The eigenvalues near round-off promise decreases that no step brings; this one is honest.
        r = model.residuals
        predicted = float(r @ r - promised @ promised - model.tilt @ candidate.step)
        step, longest = candidate.step, LONGEST * candidate.norm
        before, best, cost = candidate.step, math.inf, 0.0
        for _ in range(self.config.corrections):
            error = problem.residuals(point.theta + step).detach() - promised
            cost += problem.cost
            missed = norm(error)
            if not missed < best:  # the last correction made it worse
                step = before
                break
            bend = model.correction(error)
            length, bent = norm(bend), step + bend
            if not length < longest or problem.geometry.norm(bent) > room:
                break
            before, step, best, longest = step, bent, missed, length
        return dataclasses.replace(candidate, step=step, cost=cost, predicted=predicted)

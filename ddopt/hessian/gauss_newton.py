"""Gauss-Newton: the curvature of a sum of squares, from the Jacobian of its residuals.

    f = ‖r‖²,  g = 2 Jᵀr,  B = 2 JᵀJ

Legend: m residuals, n parameters, J (m, n); J = U diag(√μ) Vᵀ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ddopt.hessian.hessian import Diagonalised, Hessian
from ddopt.subproblem.secular import BallMinimum, minimise_in_ball
from ddopt.vectors import norm

if TYPE_CHECKING:
    from ddopt.problem import Point, Problem

NOISE = 8.0  # units of √ε of ‖g‖ below which the part of g outside the range of Jᵀ is round-off


class JacobianModel(Diagonalised):
    """m(p) = <g, p> + ‖J p‖².

    Diagonalised through the smaller of JJᵀ and JᵀJ: with fewer residuals than parameters, as in a
    physics-informed network, through the dual system. ``gradient`` need not be 2 Jᵀr: that of a
    consistent local objective has a part outside the range of Jᵀ, where B is zero.
    """

    def __init__(self, gradient: torch.Tensor, jacobian: torch.Tensor) -> None:
        self.gradient, self._J = gradient, jacobian
        m, n = jacobian.shape
        self._dual = m <= n
        squares, vectors = torch.linalg.eigh(
            jacobian @ jacobian.T if self._dual else jacobian.T @ jacobian
        )
        # Squaring J leaves singular values below √ε of the largest without a correct digit.
        kept = squares > len(squares) * torch.finfo(squares.dtype).eps * squares[-1]
        self._eigenvalues = 2.0 * squares[kept].double().cpu().numpy()
        vectors = vectors[:, kept]
        self._basis = vectors / squares[kept].sqrt() if self._dual else vectors

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """2 Jᵀ(J v)."""
        return 2.0 * (self._J.T @ (self._J @ vector))

    def _from_basis(self, weights: torch.Tensor) -> torch.Tensor:
        """V w: from eigen-coordinates (r,) to (n,)."""
        step = self._basis @ weights
        return self._J.T @ step if self._dual else step

    def _to_basis(self, vector: torch.Tensor) -> torch.Tensor:
        """Vᵀ v: from (n,) to eigen-coordinates (r,)."""
        return self._basis.T @ (self._J @ vector if self._dual else vector)

    def minimise(self, radius: float) -> tuple[torch.Tensor, BallMinimum]:
        """The Levenberg-Marquardt step whose damping fits the radius."""
        g = self.gradient
        inside = self._to_basis(g)
        outside = g - self._from_basis(inside)
        length = norm(outside)
        slopes, values = inside.double().cpu().numpy(), self._eigenvalues
        real = length > NOISE * torch.finfo(g.dtype).eps ** 0.5 * norm(g)
        if real:
            slopes, values = np.append(slopes, length), np.append(values, 0.0)
        solution = minimise_in_ball(values, slopes, radius)
        p = torch.from_numpy(solution.coordinates).to(self._J)
        step = self._from_basis(p[: len(inside)])
        return (step + p[-1] * outside / length if real else step), solution


class GaussNewton(Hessian):
    """Gauss-Newton curvature; goes with the subproblem ``obs``: Levenberg-Marquardt, exact.

    For problems that give their residuals. The Jacobian takes m n numbers of memory.
    """

    name = "gauss_newton"

    def model(self, problem: Problem, point: Point) -> JacobianModel:
        """The linearised least-squares model at ``point``."""
        return JacobianModel(point.gradient, problem.jacobian(point.theta).detach())

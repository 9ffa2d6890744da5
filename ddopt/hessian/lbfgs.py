"""Limited-memory BFGS: positive definite curvature from secant pairs, damped.

    B = γ I − [γS Y] [γSᵀS L; Lᵀ −D]⁻¹ [γS Y]ᵀ      (Byrd, Nocedal and Schnabel 1994, equation 2.17)

with SᵀY = L + D + upper, L strictly lower. Legend: k pairs; G the Gram matrix of [S Y], (2k, 2k).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ddopt.hessian.limited import LimitedMemory
from ddopt.hessian.spectral import Spectral
from ddopt.numerics.blas import one_thread

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.hessian.secant import SecantPairs

EPS = float(np.finfo(np.float64).eps)


class LBFGS(LimitedMemory):
    """Compact L-BFGS with Powell's damping, so that every pair can be stored."""

    name = "lbfgs"

    class Config(LimitedMemory.Config):
        """Size of the memory, and the damping."""

        damping: float = Field(
            0.2,
            gt=0.0,
            lt=1.0,
            description="least sᵀy as a fraction of sᵀBs (Nocedal and Wright, Procedure 18.2)",
        )

    def model(self, problem: Problem, point: Point) -> Spectral:
        """The convex quadratic model at ``point``."""
        return self._around(point.gradient)

    def _around(self, gradient: torch.Tensor) -> Spectral:
        gamma = self.gamma()
        values, from_s, from_y = spectrum(self.pairs, gamma)
        return Spectral(gradient, self.pairs, gamma, values, from_s, from_y)

    def gamma(self) -> float:
        """yᵀy / sᵀy of the last pair, the usual seed; 0, a linear model, before there is one."""
        if not len(self.pairs):
            return 0.0
        return float(self.pairs.yy[-1, -1] / self.pairs.sy[-1, -1])

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Store the pair, with y moved towards Bs where the curvature is too small."""
        sy = self.pairs.geometry.dot(s, y)
        if not math.isfinite(sy):
            return
        if len(self.pairs):
            product = self._around(y).mv(s)
            sBs = self.pairs.geometry.dot(s, product)
            if sy < self.config.damping * sBs:
                theta = (1.0 - self.config.damping) * sBs / (sBs - sy)
                y = theta * y + (1.0 - theta) * product
        elif sy <= 0.0:
            return
        super().update(s, y)


@one_thread()
def spectrum(pairs: SecantPairs, gamma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues of B in the span of the pairs; the eigenvectors as combinations of S and Y."""
    k = len(pairs)
    if k == 0:
        return np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0))
    ss, sy, yy = pairs.ss.numpy(), pairs.sy.numpy(), pairs.yy.numpy()
    lower = np.tril(sy, -1)
    middle = np.block([[gamma * ss, lower], [lower.T, -np.diag(sy.diagonal())]])
    gram = np.block([[gamma**2 * ss, gamma * sy], [gamma * sy.T, yy]])  # of [γS Y]
    scale = 1.0 / np.sqrt(gram.diagonal())
    gram, middle = gram * scale[:, None] * scale, middle * scale[:, None] * scale
    weight, V = np.linalg.eigh(gram)
    real = weight > 2 * len(weight) * EPS * weight[-1]
    root, V = np.sqrt(weight[real]), V[:, real]
    H = -(V * root).T @ np.linalg.solve(middle, V * root)
    values, U = np.linalg.eigh(0.5 * (H + H.T))
    basis = scale[:, None] * ((V / root) @ U)
    return np.maximum(values + gamma, EPS * gamma), gamma * basis[:k], basis[k:]

"""Limited-memory BFGS: positive definite curvature from secant pairs, damped.

    B = γ I − [γS Y] [γSᵀS L; Lᵀ −D]⁻¹ [γS Y]ᵀ      (Byrd, Nocedal and Schnabel 1994, equation 2.17)

with SᵀY = L + D + upper, L strictly lower. Legend: k pairs; G the Gram matrix of [S Y], (2k, 2k).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ddopt.blas import one_thread
from ddopt.component import Settings
from ddopt.hessian.hessian import Hessian
from ddopt.hessian.secant import SecantPairs
from ddopt.hessian.spectral import Spectral

if TYPE_CHECKING:
    import torch

    from ddopt.problem import Point, Problem
    from ddopt.vectors import Geometry

EPS = float(np.finfo(np.float64).eps)


class LBFGS(Hessian):
    """Compact L-BFGS with Powell's damping, so that every pair can be stored."""

    name = "lbfgs"

    class Config(Settings):
        """Size of the memory, and the damping."""

        memory: int = Field(100, ge=1, description="number of secant pairs m")
        damping: float = Field(
            0.2,
            gt=0.0,
            lt=1.0,
            description="least sᵀy as a fraction of sᵀBs (Nocedal and Wright, Procedure 18.2)",
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.pairs = SecantPairs(self.config.memory)

    def model(self, problem: Problem, point: Point) -> Spectral:
        """The convex quadratic model at ``point``."""
        return self._around(point.gradient)

    def _around(self, gradient: torch.Tensor) -> Spectral:
        gamma = self.gamma()
        values, from_s, from_y = spectrum(self.pairs, gamma)
        return Spectral(gradient, self.pairs, gamma, values, from_s, from_y)

    def gamma(self) -> float:
        """yᵀy / sᵀy of the last pair, the usual seed; 1 before there is one."""
        if not len(self.pairs):
            return 1.0
        return float(self.pairs.yy[-1, -1] / self.pairs.sy[-1, -1])

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the memory."""
        self.pairs.prepare(like)

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``."""
        self.pairs.geometry = geometry

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
        self.pairs.push(s, y)

    def reset(self) -> None:
        """Forget all pairs."""
        self.pairs.reset()

    def state_dict(self) -> dict[str, Any]:
        """The pairs and their inner products."""
        return self.pairs.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the pairs."""
        self.pairs.load_state_dict(state)


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

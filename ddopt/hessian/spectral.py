"""Quadratic models in spectral form, and their exact minimisation in a ball.

    B = γ I + Q diag(λ − γ) Qᵀ,   Q = S C_s + Y C_y with orthonormal columns

Every limited-memory matrix is of this form: it has the eigenvalue γ outside the span of its pairs.
All that is needed are inner products with the pairs, so the vectors may be sharded.

Legend: n parameters, k pairs, r <= 2k columns of Q; S, Y hold vectors as columns, (n, k); λ
eigenvalues of B in the range of Q; σ the multiplier of the ball.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ddopt.hessian.hessian import Diagonalised
from ddopt.numerics.blas import one_thread
from ddopt.subproblem.secular import BallMinimum, minimise_in_ball

if TYPE_CHECKING:
    from torch import Tensor

    from ddopt.hessian.secant import SecantPairs

# Below this share of ‖g‖², the part of g outside the range of Q has lost four digits in the
# difference ‖g‖² − ‖Qᵀg‖²: form it as a vector and orthogonalise a second time ("twice is enough",
# Parlett).
CANCELLED = 1e-4

# After that, less than this many units of round-off of ‖g‖ is no direction: g lies in the range.
NOISE = 64.0


class Spectral(Diagonalised):
    """m(p) = gᵀp + ½ pᵀBp with B in spectral form.

    Args:
        gradient: g, shape (n,).
        pairs: the memory; it must not change while the model is in use.
        gamma: γ >= 0, the curvature outside the pairs' span.
        eigenvalues: λ, shape (r,).
        from_s, from_y: C_s and C_y, each of shape (k, r).
    """

    def __init__(
        self,
        gradient: Tensor,
        pairs: SecantPairs,
        gamma: float,
        eigenvalues: np.ndarray,
        from_s: np.ndarray,
        from_y: np.ndarray,
    ) -> None:
        self.gradient, self.gamma, self.eigenvalues = gradient, gamma, eigenvalues
        self._pairs, self._from_s, self._from_y = pairs, from_s, from_y
        self.geometry = pairs.geometry

    @property
    def leftmost(self) -> float:
        """The smallest eigenvalue of B."""
        values = self.eigenvalues.tolist()
        whole = len(values) > 0 and len(values) >= self._pairs.dim
        return min(values if whole else [*values, self.gamma])

    @one_thread()
    def mv(self, vector: Tensor) -> Tensor:
        """B v, shape (n,)."""
        inside = self._project(vector)[0]
        return self._combine(self.gamma, vector, (self.eigenvalues - self.gamma) * inside)

    @one_thread()
    @np.errstate(over="ignore", invalid="ignore")  # what is no number promises nan
    def minimise(self, radius: float) -> tuple[Tensor, BallMinimum]:
        """The minimiser in ‖p‖ <= radius to machine precision, shape (n,), and its certificate."""
        base, rest, inside, outside = self._split(self.gradient)
        values, slopes = self.eigenvalues, inside
        if outside > 0.0:
            values, slopes = np.append(values, self.gamma), np.append(slopes, outside)
        solution = minimise_in_ball(values, slopes, radius)
        if np.isnan(solution.decrease):
            return torch.zeros_like(self.gradient), solution
        share = -1.0 / (self.gamma + solution.multiplier) if outside > 0.0 else 0.0
        # share * base would also move inside the range of Q, by share * rest.
        weights = solution.coordinates[: len(inside)] - share * rest
        return self._combine(share, base, weights), solution

    def _split(self, g: Tensor) -> tuple[Tensor, np.ndarray, np.ndarray, float]:
        """Divide g at the range of Q.

        Returns:
            A vector that equals g outside the range; its coordinates inside, (r,); those of g, Qᵀg;
            and the norm of the part outside.
        """
        inside, gg = self._project(g)
        outside = gg - float(inside @ inside)
        if len(inside) == 0 or outside >= CANCELLED * gg:
            return g, inside, inside, max(outside, 0.0) ** 0.5
        base = self._combine(1.0, g, -inside)
        rest, norm2 = self._project(base)
        outside = norm2 - float(rest @ rest)
        noise = NOISE * torch.finfo(g.dtype).eps
        return base, rest, inside + rest, outside**0.5 if outside > noise**2 * gg else 0.0

    def _project(self, v: Tensor) -> tuple[np.ndarray, float]:
        """Qᵀv and vᵀv."""
        sv, yv, vv = self._pairs.products(v)
        return self._from_s.T @ sv.numpy() + self._from_y.T @ yv.numpy(), vv

    def _combine(self, a: float, v: Tensor, weights: np.ndarray) -> Tensor:
        """a v + Q weights."""
        b = torch.from_numpy(self._from_s @ weights)
        return self._pairs.combine(a, v, b, torch.from_numpy(self._from_y @ weights))

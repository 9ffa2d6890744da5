"""The damped normal equations (JᵀJ + σI) x = Jᵀe, by Cholesky of the smaller Gram matrix.

Both forms are the same: (JᵀJ + σI)⁻¹ Jᵀ = Jᵀ (JJᵀ + σI)⁻¹. The Gram matrix is formed once for a
Jacobian, and factorised once for a damping: a hundredth of the work of its eigenvalues and a
fiftieth of the singular values of J.

The price is that J is squared: what lies below √ε of its largest singular value drowns in the
round-off of the Gram matrix. So σ is never less than ``floor``, where the factorisation still
exists. Legend: m residuals, n parameters, σ the damping.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ddopt.numerics.vectors import dot

if TYPE_CHECKING:
    from ddopt.evaluation.jacobian import Gramian

# The least damping in units of the largest diagonal element of the Gram matrix.
FLOOR = {torch.float64: 8e-16, torch.float32: 1e-6}
RAISE = 4.0  # factor on the damping after a Cholesky factorisation that failed
TINY = 1e-30  # the least damping where J = 0
ATTEMPTS = 40  # then the damping is 1e24 times what was asked for: the matrix is not finite


class NormalEquations:
    """JᵀJ at one θ, ready to be damped."""

    def __init__(self, jacobian: Gramian) -> None:
        self.jacobian = jacobian
        self._gram = jacobian.gram()
        diagonal = self._gram.diagonal()
        # The largest diagonal element; nan where an entry of J is not finite.
        self.top = float(diagonal.max()) if len(diagonal) else 0.0
        if not bool(diagonal.isfinite().all()):
            self.top = math.nan
        self._kept: Damped | None = None  # of the last damping; a bend asks for it again

    @property
    def scale(self) -> float:
        """What a damping is measured in: ``top``, but 1 where J = 0."""
        return self.top if self.top != 0.0 else 1.0

    @property
    def floor(self) -> float:
        """The least damping that round-off lets be told from none."""
        return FLOOR[self.jacobian.dtype] * self.top if self.top != 0.0 else TINY

    def damped(self, damping: float) -> Damped:
        """Factorise with σ = ``damping``, or the least greater one of 4 σ, 16 σ, ... that works.

        Raises ``ArithmeticError`` where none does: J is not finite.
        """
        wanted = max(damping, self.floor)
        if not self.top < math.inf:
            raise ArithmeticError(f"the Gram matrix of the Jacobian has the diagonal {self.top}")
        if self._kept is not None and self._kept.damping == wanted:
            return self._kept
        for _ in range(ATTEMPTS):
            shifted = self._gram.clone()
            shifted.diagonal().add_(wanted)
            factor, failed = torch.linalg.cholesky_ex(shifted)
            if int(failed) == 0:
                self._kept = Damped(self.jacobian, factor, wanted)
                return self._kept
            wanted *= RAISE
        raise ArithmeticError("the Gram matrix of the Jacobian has no Cholesky factorisation")


@dataclass(frozen=True)
class Damped:
    """JᵀJ + σI, factorised."""

    jacobian: Gramian
    factor: torch.Tensor  # of JJᵀ + σI or JᵀJ + σI, lower triangular
    damping: float  # σ
    refinements: int = 0  # of a fit

    def _solve(self, vector: torch.Tensor) -> torch.Tensor:
        right = vector.to(self.factor.dtype)[:, None]
        return torch.cholesky_solve(right, self.factor)[:, 0].to(vector.dtype)

    def coordinates(self, error: torch.Tensor) -> torch.Tensor:
        """(JJᵀ + σI)⁻¹ e, from (m,) to (m,); in the dual form only."""
        assert self.jacobian.dual
        return self._solve(error)

    def fitted(self, error: torch.Tensor) -> torch.Tensor:
        """(JᵀJ + σI)⁻¹ Jᵀe, from (m,) to (n,): the least-squares solution of J x = e, damped.

        Refined by what it leaves: x += (JᵀJ + σI)⁻¹ (Jᵀ(e − Jx) − σx). The dual form needs it where
        e is nearly outside the range of J: there (JJᵀ + σI)⁻¹e is about e/σ, and Jᵀ times its
        round-off is ε‖J‖‖e‖/σ, also along the largest singular vectors.
        """
        x = self._fitted(error)
        for _ in range(self.refinements):
            left = self.jacobian.pullback(error - self.jacobian.product(x)) - self.damping * x
            x = x + self.inverse(left)
        return x

    def _fitted(self, error: torch.Tensor) -> torch.Tensor:
        if self.jacobian.dual:
            return self.jacobian.pullback(self._solve(error))
        return self._solve(self.jacobian.pullback(error))

    def inverse(self, vector: torch.Tensor) -> torch.Tensor:
        """(JᵀJ + σI)⁻¹ v, from (n,) to (n,).

        In the dual form (v − Jᵀ(JJᵀ + σI)⁻¹ J v)/σ, which is accurate where v is nearly orthogonal
        to the rows of J.
        """
        if not self.jacobian.dual:
            return self._solve(vector)
        inside = self._fitted(self.jacobian.product(vector))
        return (vector - inside) / self.damping

    def slowness(self, step: torch.Tensor, error: torch.Tensor) -> float:
        """<p, (JᵀJ + σI)⁻¹ p> for ``step`` = p = Jᵀ(JJᵀ + σI)⁻¹ e; in the dual form only."""
        return dot(self._solve(self.jacobian.product(step)), self.coordinates(error))

"""The limited-memory symmetric rank-one matrix: indefinite curvature from secant pairs.

    B = γ I + Ψ M Ψᵀ,   Ψ = Y − γ S,   M⁻¹ = D + L + Lᵀ − γ SᵀS,   SᵀY = L + D + upper

Its spectral form needs an orthonormal basis Q = Ψ C of the range of Ψ and a k x k eigen-problem. C
comes from a Cholesky factor of ΨᵀΨ where that is safe, and from its eigenvectors where pairs may be
dependent (Brust, Erway and Marcia, On solving L-SR1 trust-region subproblems, COAP 66, 2017).

Legend: k pairs, r <= k the rank of Ψ; S, Y, Ψ hold vectors as columns, (n, k); N = M⁻¹; G = ΨᵀΨ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import Field

from ddopt.hessian.limited import LimitedMemory
from ddopt.hessian.selection import informative_pairs
from ddopt.hessian.spectral import Spectral
from ddopt.numerics.blas import one_thread

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.hessian.secant import SecantPairs

EPS = float(np.finfo(np.float64).eps)

# A Cholesky pivot of the unit-diagonal ΨᵀΨ above this leaves the basis as orthonormal as
# eigenvectors would, five times faster; below it, pairs may be dependent.
WELL_CONDITIONED = 1e-10


class LSR1(LimitedMemory):
    """L-SR1 with a seed γ below the smallest curvature seen, and without negative eigenvalues.

    Stale pairs of a non-quadratic function leave negative eigenvalues that the function does not
    have, and one of them sends every step to the boundary (docs/design/curvature.md). Taking |λ| is
    what makes Newton's method flee saddles, too (Dauphin et al., NeurIPS 2014).
    """

    name = "lsr1"

    class Config(LimitedMemory.Config):
        """Size of the memory, and the rule for γ."""

        fraction: float = Field(
            0.01, gt=0.0, description="γ as a fraction of the smallest positive sᵀy/sᵀs in memory"
        )
        adaptive: bool = Field(
            False,
            description="take a larger fraction, the root of smallest/largest sᵀy/sᵀs in memory, "
            "where these differ little",
        )
        eigenvalues: Literal["absolute", "signed"] = Field(
            "absolute",
            description="absolute: |λ| for λ, which damps steps along stale negative curvature; "
            "signed: the SR1 matrix as it is",
        )

    def model(self, problem: Problem, point: Point) -> Spectral:
        """The quadratic model at ``point``."""
        gamma = self.gamma()
        values, basis = spectrum(self.pairs, gamma)
        if self.config.eigenvalues == "absolute":
            values = np.abs(values)
        return Spectral(point.gradient, self.pairs, gamma, values, -gamma * basis, basis)

    def gamma(self) -> float:
        """The seed: the curvature that is assumed where no pair has looked.

        0 before there are pairs: the model is linear, and no unit of f or θ enters it.
        """
        curvatures = self.pairs.curvatures()
        positive = curvatures[curvatures > 0.0]
        if len(positive):
            return self._share(positive) * float(positive.min())
        negative = curvatures[curvatures < 0.0]
        return float(-self.config.fraction * negative.max()) if len(negative) else 0.0

    def _share(self, positive: torch.Tensor) -> float:
        """γ as a fraction of the least of some curvatures, (k,)."""
        share = float(self.config.fraction)
        if not self.config.adaptive:
            return share
        return max(share, float(positive.min() / positive.max()) ** 0.5)


@one_thread()
def spectrum(pairs: SecantPairs, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of B in the range of Ψ and the coefficients C of their eigenvectors Ψ C."""
    k = len(pairs)
    if k == 0:
        return np.zeros(0), np.zeros((0, 0))
    ss, sy, yy = pairs.ss.numpy(), pairs.sy.numpy(), pairs.yy.numpy()
    lower = np.tril(sy)
    N = lower + np.tril(sy, -1).T - gamma * ss
    G = yy - gamma * (sy + sy.T) + gamma**2 * ss
    # Columns of unit length: the diagonal scaling that nearly minimises the condition number of G.
    floor = EPS**2 * (yy.diagonal() + gamma**2 * ss.diagonal())
    scale = 1.0 / np.sqrt(np.maximum(G.diagonal(), np.maximum(floor, np.finfo(float).tiny)))
    N, G = N * scale[:, None] * scale, G * scale[:, None] * scale
    size = np.abs(lower) + np.abs(np.tril(sy, -1)).T + gamma * np.abs(ss)
    size = size * scale[:, None] * scale
    kept = informative_pairs(N, G, np.sqrt(ss.diagonal()) * scale, size)
    if len(kept) == 0:
        return np.zeros(0), np.zeros((k, 0))
    N, G = N[np.ix_(kept, kept)], G[np.ix_(kept, kept)]
    F, inverse = _factor(G)
    H = F.T @ _solve(N, F)
    values, U = np.linalg.eigh(0.5 * (H + H.T))
    basis = np.zeros((k, len(values)))
    basis[kept] = scale[kept, None] * (inverse @ U)
    return values + gamma, basis


def _factor(G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F with G = F Fᵀ and a right inverse of Fᵀ, both (k, r), r the numerical rank of G."""
    L, failed = torch.linalg.cholesky_ex(torch.from_numpy(G))
    if int(failed) == 0 and float(L.diagonal().min()) ** 2 > WELL_CONDITIONED:
        unit = torch.eye(len(G), dtype=torch.float64)
        return L.numpy(), torch.linalg.solve_triangular(L.mT, unit, upper=True).numpy()
    weight, V = np.linalg.eigh(G)
    # What is smaller than the rounding of the inner products cannot be told from a dependent pair.
    real = weight > 4.0 * len(G) * EPS * weight[-1]
    root, V = np.sqrt(weight[real]), V[:, real]
    return V * root, V / root


def _solve(N: np.ndarray, F: np.ndarray) -> np.ndarray:
    """N⁻¹ F, shape (k, r)."""
    try:
        return np.linalg.solve(N, F)
    except np.linalg.LinAlgError:
        # A dependent pair slipped through as round-off: its null vector is one of Ψ too, hence
        # orthogonal to the columns of F, and the pseudo-inverse is exact.
        return np.linalg.pinv(N, rcond=4.0 * len(N) * EPS, hermitian=True) @ F

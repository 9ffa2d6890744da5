"""Which pairs an SR1 recursion would use: the skip rule, evaluated on inner products only.

The recursion B_{j+1} = B_j + r rᵀ / (rᵀs), r = y − B_j s, is the factorisation N = L̂ D L̂ᵀ without
pivoting: with T = L̂⁻ᵀ the columns of R = Ψ T are the residuals r, and D holds their rᵀs (Byrd,
Nocedal, Schnabel, Math. Programming 63, 1994, section 5). A skipped pair takes no part in later
pivots.

Legend: N = M⁻¹ and G = ΨᵀΨ of the compact form, (k, k), both for Ψ with scaled columns.
"""

from __future__ import annotations

import numpy as np

SKIP = 1e-8  # Nocedal, Wright, Numerical Optimization, eq. (6.26)
BLOCK = 16  # pairs eliminated by small operations before a matrix product takes over
EPS = float(np.finfo(np.float64).eps)


def informative_pairs(N: np.ndarray, G: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Indices, ascending, of the pairs with |rᵀs| >= 1e-8 ‖r‖ ‖s‖ and rᵀs above its round-off.

    Args:
        N: (k, k) symmetric.
        G: (k, k) symmetric, positive semidefinite.
        steps: ‖s‖ of every pair on the scale of N, (k,).
    """
    k = len(N)
    kept: list[int] = []
    T, pivots = np.zeros((k, 0)), np.zeros(0)
    for start in range(0, k, BLOCK):
        cols = slice(start, min(start + BLOCK, k))
        # Eliminate the earlier pivots from this block, (k, block).
        unit = np.eye(k)[:, cols]
        cross = T.T @ N[:, cols]
        U = unit - T @ (cross / pivots[:, None])
        noise = np.abs(N.diagonal()[cols]) + (cross**2 / np.abs(pivots)[:, None]).sum(axis=0)
        work = np.stack((N[cols, cols] - cross.T @ (cross / pivots[:, None]), U.T @ G @ U))
        chosen, inner, found = _eliminate(work, noise, steps[cols])
        kept += [start + j for j in chosen]
        T = np.concatenate((T, U @ inner), axis=1)
        pivots = np.concatenate((pivots, found))
    return np.array(kept, dtype=np.intp)


def _eliminate(
    work: np.ndarray, noise: np.ndarray, steps: np.ndarray
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Pivots of one block: the chosen columns, their transformation (block, chosen) and rᵀs.

    Args:
        work: (2, b, b), what is left of N and of G; destroyed.
        noise: (b,), sum of the magnitudes that went into each diagonal entry of N.
        steps: (b,).
    """
    b = work.shape[1]
    inner = np.eye(b)
    chosen: list[int] = []
    found: list[float] = []
    left, gram = work
    for j in range(b):
        pivot = left[j, j]
        size = max(gram[j, j], 0.0) ** 0.5
        if abs(pivot) <= max(SKIP * steps[j] * size, 16.0 * EPS * noise[j]):
            continue
        chosen.append(j)
        found.append(float(pivot))
        if j + 1 < b:
            row = left[j, j + 1 :]
            factor = row / pivot
            noise[j + 1 :] += np.abs(row * factor)
            left[j + 1 :, j + 1 :] -= factor[:, None] * row
            gram[:, j + 1 :] -= gram[:, j, None] * factor
            gram[j + 1 :, :] -= factor[:, None] * gram[j]
            inner[:, j + 1 :] -= inner[:, j, None] * factor
    return chosen, inner[:, chosen], np.array(found)

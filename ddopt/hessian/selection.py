"""Which pairs an SR1 recursion would use: the skip rule, evaluated on inner products only.

The recursion B_{j+1} = B_j + r rᵀ / (rᵀs), r = y − B_j s, is the factorisation N = L̂ D L̂ᵀ without
pivoting: with T = L̂⁻ᵀ the columns of R = Ψ T are the residuals r, and D holds their rᵀs (Byrd,
Nocedal, Schnabel, Math. Programming 63, 1994, section 5). A skipped pair takes no part in later
pivots.

Legend: N = M⁻¹ and G = ΨᵀΨ of the compact form, (k, k), both for Ψ with scaled columns.
"""

from __future__ import annotations

import math

import numpy as np

SKIP = 1e-8  # Nocedal, Wright, Numerical Optimization, eq. (6.26)
BLOCK = 16  # pairs eliminated by small operations before a matrix product takes over
EPS = float(np.finfo(np.float64).eps)


def informative_pairs(
    N: np.ndarray, G: np.ndarray, steps: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Indices, ascending, of the pairs with |rᵀs| >= 1e-8 ‖r‖ ‖s‖ and rᵀs above its round-off.

    Args:
        N: (k, k) symmetric.
        G: (k, k) symmetric, positive semidefinite.
        steps: ‖s‖ of every pair on the scale of N, (k,).
        size: (k, k), magnitude of the terms whose difference N is.
    """
    usable = np.flatnonzero(np.isfinite(N.diagonal()) & np.isfinite(G.diagonal()))
    if len(usable) < len(N):  # the products of an absurd pair overflow, and spoil those of others
        square = np.ix_(usable, usable)
        N, G, steps, size = N[square], G[square], steps[usable], size[square]
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number then is not chosen
        return usable[_chosen(N, G, steps, size)]


def _chosen(N: np.ndarray, G: np.ndarray, steps: np.ndarray, size: np.ndarray) -> np.ndarray:
    """See ``informative_pairs``."""
    k = len(N)
    kept: list[int] = []
    T, pivots = np.zeros((k, 0)), np.zeros(0)
    for start in range(0, k, BLOCK):
        cols = slice(start, min(start + BLOCK, k))
        # Eliminate the earlier pivots from this block, (k, block).
        unit = np.eye(k)[:, cols]
        cross = T.T @ N[:, cols]
        U = unit - T @ (cross / pivots[:, None])
        # Round-off of ``cross`` grows with what cancelled in it, not with what is left of it.
        reach = np.abs(T).T @ size[:, cols]
        noise = size.diagonal()[cols]
        noise = noise + (np.abs(cross / pivots[:, None]) * reach).sum(axis=0)
        left = N[cols, cols] - cross.T @ (cross / pivots[:, None])
        chosen, inner, found = _eliminate(left, U.T @ G @ U, noise, steps[cols])
        kept += [start + j for j in chosen]
        T = np.concatenate((T, U @ inner), axis=1)
        pivots = np.concatenate((pivots, found))
    return np.array(kept, dtype=np.intp)


def _eliminate(
    left: np.ndarray, gram: np.ndarray, noise: np.ndarray, steps: np.ndarray
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Pivots of one block: the chosen columns, their transformation (b, chosen) and rᵀs.

    Args:
        left, gram: (b, b), what the earlier blocks left of N and of G.
        noise: (b,), sum of the magnitudes that went into each diagonal entry of ``left``.
        steps: (b,).
    """
    refused: set[int] = set()
    while True:
        chosen, inner, found = _pivots(left, noise, refused)
        sizes = np.sqrt(np.maximum((inner * (gram @ inner)).sum(axis=0), 0.0))
        weak = np.flatnonzero(~(np.abs(found) >= SKIP * steps[chosen] * sizes))  # nan is weak
        if len(weak) == 0:
            return chosen, inner, found
        # A pivot changes only what comes after it: the first weak one is weak for certain.
        refused.add(chosen[weak[0]])


def _pivots(
    left: np.ndarray, noise: np.ndarray, refused: set[int]
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Gauss elimination down the diagonal, leaving out refused and vanishing pivots."""
    b = len(left)
    work = np.concatenate((left, np.eye(b)))
    noise = 16.0 * EPS * noise
    chosen: list[int] = []
    for j in range(b):
        pivot = work[j, j]
        if not noise[j] < abs(pivot) < math.inf or j in refused:
            continue
        chosen.append(j)
        if j + 1 < b:
            factor = work[j, j + 1 :] / pivot
            noise[j + 1 :] += (16.0 * EPS * abs(pivot)) * factor**2
            work[:, j + 1 :] -= work[:, j, None] * factor
    return chosen, work[b:, chosen], work[chosen, chosen]

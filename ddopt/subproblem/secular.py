"""The global minimiser of a diagonal quadratic model in a ball: the secular equation.

    minimise  gᵀp + ½ Σ λ_i p_i²   over  ‖p‖ <= radius

Optimal p has (λ_i + σ) p_i = −g_i with σ >= 0, λ_i + σ >= 0 and σ (radius − ‖p‖) = 0 (Moré,
Sorensen 1983; Conn, Gould, Toint, Trust-Region Methods, 2000, section 7.3). Any dense subproblem
becomes one after an eigen-decomposition.

Legend: λ eigenvalues, λ₁ the least, σ the multiplier, μ = σ + λ₁.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class BallMinimum:
    """A global minimiser in eigen-coordinates, and what is known about it."""

    coordinates: np.ndarray  # p, the shape of g
    decrease: float  # −(gᵀp + ½ Σ λ p²) >= 0, a sum of squares: no cancellation
    multiplier: float  # σ
    norm: float
    on_boundary: bool
    # g is orthogonal to the leftmost eigenvectors, and one was added to reach the boundary
    hard_case: bool


def minimise_in_ball(values: np.ndarray, g: np.ndarray, radius: float) -> BallMinimum:
    """Solve the diagonal trust-region subproblem to machine precision.

    Args:
        values: eigenvalues λ in any order, shape (r,); r may be 0.
        g: the gradient's coordinates, shape (r,).

    Where one of these is not finite the promise is nan, which every solver refuses.
    """
    if not radius > 0.0:
        raise ValueError(f"the radius must be positive, got {radius}")
    if len(values) == 0:
        return BallMinimum(np.zeros(0), 0.0, 0.0, 0.0, False, False)
    if not (np.isfinite(g).all() and np.isfinite(values).all()):  # beyond the largest number
        return BallMinimum(np.zeros_like(g), np.nan, 0.0, 0.0, False, False)
    least = float(values.min())
    # p depends on the gaps and on μ only, so that nothing cancels however close the hard case is.
    gaps = values - least
    negligible = (gaps == 0.0) & (np.abs(g) <= 4.0 * EPS * np.linalg.norm(g))
    live = ~negligible & (g != 0.0)
    p = np.zeros_like(g)
    mu = max(least, 0.0)
    if mu > 0.0 or not (live & (gaps == 0.0)).any():
        p[live] = -g[live] / (gaps[live] + mu)
        if float(np.linalg.norm(p)) <= radius:
            return _reach(p, gaps, least, radius)
    p[live], mu = _newton(gaps[live], g[live], mu, radius)
    sigma = max(mu - least, 0.0)
    decrease = 0.5 * float(p**2 @ (gaps + mu)) + 0.5 * sigma * radius**2
    return BallMinimum(p, decrease, sigma, radius, True, False)


def _newton(
    gaps: np.ndarray, g: np.ndarray, start: float, radius: float
) -> tuple[np.ndarray, float]:
    """The p on the sphere and its μ >= start.

    1/‖p(μ)‖ is concave and increasing, so Newton on 1/‖p(μ)‖ = 1/radius from a lower bound of the
    root never overshoots; every single term |g_i| / (gap_i + μ) <= radius is such a bound.
    """
    mu = max(start, float((np.abs(g) / radius - gaps).max()))
    for _ in range(100):
        p = -g / (gaps + mu)
        norm = float(np.linalg.norm(p))
        change = norm**2 / float(p**2 @ (1.0 / (gaps + mu))) * (norm - radius) / radius
        if not change > EPS * mu:
            break
        mu += change
    return p * (radius / norm), mu


def _reach(p: np.ndarray, gaps: np.ndarray, least: float, radius: float) -> BallMinimum:
    """The minimiser p of a convex model, or the hard case: p plus a leftmost eigenvector."""
    mu, sigma = max(least, 0.0), max(-least, 0.0)
    norm = float(np.linalg.norm(p))
    if sigma > 0.0:
        p[int(np.argmin(gaps))] = max(radius**2 - norm**2, 0.0) ** 0.5
        norm = radius
    decrease = 0.5 * float(p**2 @ (gaps + mu)) + 0.5 * sigma * norm**2
    return BallMinimum(p, decrease, sigma, norm, sigma > 0.0, sigma > 0.0)

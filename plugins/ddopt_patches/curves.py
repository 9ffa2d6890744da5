"""The boundaries of DeepXDE's domains in the plane as parametrised curves.

A curve takes t (N,) in [0, 1] to points (N, 2) and their derivatives by t (N, 2). A domain that is
put together (``|``, ``-``, ``&``) has the curves of its parts; which stretches of them bound it is
decided elsewhere, by what lies on either side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddopt_pinn.library import dde

Curve = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
TURN = 2.0 * np.pi
MARGIN = 1e-4  # of the extent of a curve whose extremes are found by sampling


def curves(geometry: Any) -> list[Curve]:
    """All curves on which the boundary of a domain lies.

    Raises ``ValueError`` for a domain of a kind that has none known.
    """
    kinds = dde.geometry
    if hasattr(geometry, "geom1"):
        return curves(geometry.geom1) + curves(geometry.geom2)
    if isinstance(geometry, kinds.Polygon):
        return _sides(geometry.vertices)
    if isinstance(geometry, kinds.Triangle):
        return _sides([geometry.x1, geometry.x2, geometry.x3])
    if isinstance(geometry, kinds.Rectangle):
        (a, b), (c, d) = geometry.xmin, geometry.xmax
        return _sides([(a, b), (c, b), (c, d), (a, d)])
    if isinstance(geometry, kinds.Disk):
        radius = float(geometry.radius)
        return [_polar(geometry.center, lambda s: (radius + 0.0 * s, 0.0 * s))]
    if isinstance(geometry, kinds.Ellipse):
        return [_ellipse(geometry)]
    if isinstance(geometry, kinds.StarShaped):
        return [_polar(geometry.center, lambda s: (geometry._r_theta(s), geometry._dr_theta(s)))]
    raise ValueError(
        f"the boundary of a {type(geometry).__name__} is not known as curves; build the domain "
        "from Rectangle, Polygon, Triangle, Disk, Ellipse and StarShaped by |, - and &, or build "
        "the conditions into the solution and give none"
    )


def around(geometry: Any) -> np.ndarray:
    """The smallest box around a domain, shape (d, 2).

    DeepXDE's own, but for ellipses and star-shaped domains, whose boxes there are not around them.
    """
    if hasattr(geometry, "geom1"):
        a, b = around(geometry.geom1), around(geometry.geom2)
        if isinstance(geometry, dde.geometry.CSGDifference):
            return a
        both = np.concatenate([a, b], 1)  # lower, upper, lower, upper
        if isinstance(geometry, dde.geometry.CSGIntersection):
            return np.stack([both[:, ::2].max(1), both[:, 1::2].min(1)], 1)
        return np.stack([both[:, ::2].min(1), both[:, 1::2].max(1)], 1)
    if isinstance(geometry, (dde.geometry.Ellipse, dde.geometry.StarShaped)):
        x, _ = curves(geometry)[0](np.linspace(0.0, 1.0, 4001))
        ends = np.stack([x.min(0), x.max(0)], 1)
        return ends + MARGIN * (ends[:, 1:] - ends[:, :1]) * np.array([-1.0, 1.0])
    return np.asarray(geometry.bbox, dtype=float).reshape(2, -1).T


def _sides(corners: Any) -> list[Curve]:
    v = np.asarray(corners, dtype=float)
    return [_segment(a, b) for a, b in zip(v, np.roll(v, -1, axis=0), strict=True)]


def _segment(a: np.ndarray, b: np.ndarray) -> Curve:
    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return a + t[:, None] * (b - a), np.broadcast_to(b - a, (len(t), 2))

    return at


def _polar(center: Any, radius: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Curve:
    """The curve r(θ) around a centre, from r and r'."""

    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r, slope = (one[:, None] for one in radius(TURN * t))
        along = np.stack([np.cos(TURN * t), np.sin(TURN * t)], 1)
        across = np.stack([-along[:, 1], along[:, 0]], 1)
        return np.asarray(center) + r * along, TURN * (slope * along + r * across)

    return at


def _ellipse(geometry: Any) -> Curve:
    major = np.array([geometry.semimajor, 0.0])
    first = np.asarray(geometry.focus1) - geometry.center
    if float(np.linalg.norm(first)) > 0.0:
        major = geometry.semimajor * first / np.linalg.norm(first)
    minor = geometry.semiminor * np.array([-major[1], major[0]]) / geometry.semimajor

    def at(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b = np.cos(TURN * t)[:, None], np.sin(TURN * t)[:, None]
        return geometry.center + a * major + b * minor, TURN * (a * minor - b * major)

    return at

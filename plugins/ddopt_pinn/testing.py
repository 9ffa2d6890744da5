"""The check of resamplings: where the points of an equation go next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt.task import Status
from ddopt.testing.conduct import bits, check_conduct, fresh
from ddopt.testing.telling import require, told
from ddopt_pinn.resampling import Drawn, Known

if TYPE_CHECKING:
    from ddopt_pinn.resampling import Resampling

POINTS = 40  # interior points in the unit square


@told
def check_resampling(resampling: Resampling, *, ranks: bool = True) -> None:
    """As many points as were promised, in the domain, from the random numbers that are given."""
    drawn = Drawn(now=POINTS, first=POINTS, at=0.0)

    def advance(one: Any, i: int) -> Any:
        status = Status(evaluations=1000.0 * (i + 1), loss=0.5**i, stalled=i)
        due, count, known = one.due(status, drawn), one.count(status, drawn), _known(i)
        before = bits([known.points, known.candidates, known.residuals])
        points = np.asarray(one.choose(known, count)).copy()
        require(
            bits([known.points, known.candidates, known.residuals]) == before,
            resampling,
            "choose() changed what is known in place; make new arrays",
        )
        _check_points(resampling, points, count, known)
        return [float(due), count, points]

    require(
        isinstance(fresh(resampling).due(Status(), drawn), (bool, np.bool_)),
        resampling,
        "due() must return whether it is time, True or False",
    )
    check_conduct(resampling, advance, "choose()", ranks=ranks)


def _known(seed: int) -> Known:
    random = np.random.default_rng(seed)
    candidates = random.random((10 * POINTS, 2))
    residuals = np.exp(-10.0 * ((candidates - 0.5) ** 2).sum(axis=1))
    generator = torch.Generator().manual_seed(seed)
    return Known(random.random((POINTS, 2)), candidates, residuals, generator)


def _check_points(resampling: Resampling, points: np.ndarray, count: int, known: Known) -> None:
    require(
        points.shape == (count, 2),
        resampling,
        f"count() said {count} points, and choose() must give so many, shape ({count}, 2); it gave "
        f"{points.shape}",
    )
    inside = bool(np.isfinite(points).all() and (points >= 0.0).all() and (points <= 1.0).all())
    require(inside, resampling, "choose() gives points outside the domain, or NaN")

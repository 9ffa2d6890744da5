"""Stratified resampling: new points spread evenly along a curve that fills the domain.

Independent draws leave gaps and clusters, and a Gauss-Newton step follows what the points happen to
see. Systematic sampling takes the candidates in the order of a space-filling curve and picks one
after each equal share of their weight: every region gets its share of the points, to within one.
Weights follow the residual, w_i = |r_i| / mean |r| + 1.

Sources: Cochran, Sampling Techniques (1977), chapter 8; Morton (1966) for the curve. Periods, the
growth and the loss at which it comes were measured on Burgers (docs/design/gauss_newton.md).
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from ddopt.task import Status
from ddopt_pinn.resampling import Drawn, Known, Resampling, density

BITS = 60  # of a place on the curve, shared out over the coordinates


class Stratified(Resampling):
    """All interior points are drawn anew, evenly; there are more of them late in a run."""

    name = "stratified"

    class Config(Resampling.Config):
        """When, and how many."""

        period: float = Field(
            100.0, gt=0.0, description="evaluations between two resamplings, early in a run"
        )
        candidates: float = Field(
            6.0,
            ge=1.0,
            description="random points whose residuals are asked for, in multiples of the points "
            "that are drawn; their cost is counted",
        )
        late: float = Field(1e-6, ge=0.0, description="the loss from which on a run is late")
        growth: float = Field(
            8.0 / 3.0, ge=1.0, description="how many times as many points there are late in a run"
        )
        late_period: float = Field(
            300.0, gt=0.0, description="evaluations between two resamplings, late in a run"
        )
        stalled: int = Field(
            4, ge=1, description="rejected iterations in a row after which points are drawn at once"
        )

    def due(self, status: Status, drawn: Drawn) -> bool:
        """After a period, or where the model of f no longer finds a step on these points.

        A run whose points have grown stays late: new points may raise the loss again.
        """
        if status.stalled >= self.config.stalled:
            return True
        late = drawn.now > drawn.first or status.loss <= self.config.late
        period = self.config.late_period if late else self.config.period
        return status.evaluations - drawn.at >= period

    def count(self, status: Status, drawn: Drawn) -> int:
        """As many as at the start, or ``growth`` times as many; never fewer than now."""
        late = status.loss <= self.config.late
        return max(drawn.now, round(self.config.growth * drawn.first) if late else drawn.first)

    def choose(self, known: Known, count: int) -> np.ndarray:
        """One candidate after each equal share of the weight."""
        order = np.argsort(places(known.candidates), kind="stable")
        weights = density(known.residuals, 1.0, 1.0)[order]
        return known.candidates[order[systematic(weights, count, known.random)]]


def places(points: np.ndarray) -> np.ndarray:
    """The place of each point (m, d) on Morton's curve through their bounding box, (m,)."""
    dimensions = points.shape[1]
    bits = min(BITS // dimensions, 20)
    low, high = points.min(0), points.max(0)
    width = np.where(high > low, high - low, 1.0)
    steps = ((points - low) / width * (2**bits - 1)).astype(np.int64)
    place = np.zeros(len(points), dtype=np.int64)
    for bit in range(bits):
        for axis in range(dimensions):
            place |= ((steps[:, axis] >> bit) & 1) << (dimensions * bit + axis)
    return place


def systematic(weights: np.ndarray, count: int, random: torch.Generator) -> np.ndarray:
    """``count`` indices, sorted, each as often as its share of the weight, to within one."""
    upto = np.cumsum(weights) / weights.sum()
    start = float(torch.rand((), generator=random, dtype=torch.float64))
    asked = (np.arange(count) + start) / count
    return np.minimum(np.searchsorted(upto, asked), len(weights) - 1)

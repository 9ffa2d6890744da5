"""Residual-adaptive resampling: interior points go where the equation is satisfied worst.

Legend: ε(x) = ‖N[u_θ](x)‖ the residual at a point, p(x) ∝ ε(x)^k / E[ε^k] + c the density of new
points. Source: Wu, Zhu, Tan, Kartha and Lu, A comprehensive study of non-adaptive and
residual-based adaptive sampling for physics-informed neural networks, Computer Methods in Applied
Mechanics and Engineering 403 (2023) 115671, Algorithms 2 to 4.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field

from ddopt.setup.component import Component, Settings
from ddopt.task import Status


@dataclass(frozen=True)
class Drawn:
    """How many interior points there are, and since when."""

    now: int
    first: int  # at the start of the run
    at: float  # the evaluations per process when they last changed


@dataclass(frozen=True)
class Known:
    """What is known when the points move."""

    points: np.ndarray  # the interior points of now, (m, d)
    candidates: np.ndarray  # uniformly random points of the domain, (M, d)
    residuals: np.ndarray  # ε at the candidates, (M,)
    random: torch.Generator  # for whatever is random; a function of the seed and of the changes


class Resampling(Component):
    """Where the interior points go next, from residuals at random candidates."""

    seam = "resampling"

    class Config(Settings):
        """How often, and among how many."""

        period: float = Field(
            500.0, gt=0.0, description="evaluations per process between two resamplings"
        )
        candidates: float = Field(
            10.0,
            ge=1.0,
            description="random points whose residuals are asked for, in multiples of the interior "
            "points; their cost is counted",
        )
        keep_curvature: bool = Field(
            True,
            description="keep the secant pairs of the old points, but no values of the old loss "
            "(docs/design/resampling.md)",
        )

    def due(self, status: Status, drawn: Drawn) -> bool:
        """Whether it is time again; asked before each iteration."""
        return status.evaluations - drawn.at >= self.config.period

    def count(self, status: Status, drawn: Drawn) -> int:
        """How many points ``choose`` will give."""
        return drawn.now

    @abstractmethod
    def choose(self, known: Known, count: int) -> np.ndarray:
        """The next ``count`` interior points, shape (count, d)."""


class Fixed(Resampling):
    """The points of the start, for ever."""

    name = "none"

    class Config(Settings):
        """No options."""

    def due(self, status: Status, drawn: Drawn) -> bool:
        """Never."""
        return False

    def choose(self, known: Known, count: int) -> np.ndarray:
        """The same points."""
        return known.points


class RAD(Resampling):
    """All interior points are drawn anew from p (Algorithm 3); their number stays."""

    name = "rad"

    class Config(Resampling.Config):
        """The density; the paper's choice."""

        k: float = Field(1.0, ge=0.0, description="power of the residual in the density")
        c: float = Field(1.0, ge=0.0, description="uniform part of the density")

    def choose(self, known: Known, count: int) -> np.ndarray:
        """Draw without replacement."""
        weights = density(known.residuals, self.config.k, self.config.c)
        return known.candidates[drawn(weights, count, known.random)]


class GrowingSettings(Resampling.Config):
    """How fast the points become more, and how many."""

    added: float = Field(
        0.1, gt=0.0, description="points added each time, as a fraction of those at the start"
    )
    most: float = Field(
        2.0, ge=1.0, description="interior points at most, as a multiple of those at the start"
    )


class Growing(Resampling):
    """Points are added to those of now."""

    def count(self, status: Status, drawn: Drawn) -> int:
        """A few more, as long as there is room."""
        room = round(self.config.most * drawn.first) - drawn.now
        return drawn.now + max(0, min(round(self.config.added * drawn.first), room))


class RARD(Growing):
    """Points drawn from p are added (Algorithm 4)."""

    name = "rar-d"

    class Config(GrowingSettings):
        """The density; the paper's choice."""

        k: float = Field(2.0, ge=0.0, description="power of the residual in the density")
        c: float = Field(0.0, ge=0.0, description="uniform part of the density")

    def choose(self, known: Known, count: int) -> np.ndarray:
        """Draw without replacement, and add."""
        weights = density(known.residuals, self.config.k, self.config.c)
        added = drawn(weights, count - len(known.points), known.random)
        return np.vstack([known.points, known.candidates[added]])


class RAR(Growing):
    """The candidates with the largest residuals are added (Algorithm 2, the greedy one)."""

    name = "rar"

    class Config(GrowingSettings):
        """How many."""

    def choose(self, known: Known, count: int) -> np.ndarray:
        """Add the worst."""
        order = np.argsort(-known.residuals, kind="stable")[: count - len(known.points)]
        return np.vstack([known.points, known.candidates[order]])


def density(residuals: np.ndarray, k: float, c: float) -> np.ndarray:
    """p(x) ∝ ε^k / E[ε^k] + c (equation 2), shape (M,)."""
    powers = residuals**k
    mean = powers.mean()
    return powers / mean + c if mean > 0.0 else np.ones_like(powers)


def drawn(weights: np.ndarray, count: int, random: torch.Generator) -> np.ndarray:
    """``count`` of the indices, without replacement, by weight; sorted.

    The smallest of exponential numbers with these rates: Efraimidis and Spirakis (2006).
    """
    uniform = torch.rand(len(weights), generator=random, dtype=torch.float64).numpy()
    with np.errstate(divide="ignore"):
        arrival = -np.log1p(-uniform) / weights
    return np.sort(np.argsort(arrival, kind="stable")[:count])

"""The best end: of the points that the subdomains reached, the one where f(·; D) is smallest.

Every process evaluates f on all of D at the ends of its own subdomains, and the processes compare
the values. The owner of the best end sends it, and its gradient once the end is accepted. Where the
parts of the subdomains overlap, one of the ends is usually far better than their mean
(docs/design/decomposition.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.problem import Point
from ddopt.recombination.recombination import Corrections, Found, Recombination, Recombined

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain
    from ddopt.evaluation.problem import Problem
    from ddopt.numerics.reading import Number


class Distant(Point):
    """The best end, which one process has evaluated.

    ``Best.combine`` makes one on every process. The engine asks for θ and ∇f on all processes
    together, since the owner sends them then. ``value`` is f there, known everywhere.
    """

    def __init__(
        self,
        value: float,
        theta: Callable[[], torch.Tensor],
        gradient: Callable[[], torch.Tensor],
        like: Point,
    ) -> None:
        """Keep how both vectors are fetched, each of shape (n,).

        ``like`` is a point of the same f on this process; the owner gives the end itself.
        """
        super().__init__(torch.empty(0), value, gradient, like.epsilon, like.trace)
        del self.theta
        self._fetch = theta

    @cached_property
    def theta(self) -> torch.Tensor:  # type: ignore[override]
        """θ, shape (n,)."""
        return self._fetch()


class Best(Recombination):
    """s = R_dᵀ s_d of the d whose end has the smallest f(·; D); pred = its own decrease.

    Every process must be able to evaluate f on all of D, in the shares in which f(θ_k; D) was
    evaluated. One collective exchanges f, the length and the slope of every end, 3 N numbers, and
    what the ends have cost. An end that is accepted sends two vectors (n,), θ and ∇f. One that is
    rejected sends none. Raises ``ValueError`` where vectors lie in pieces on several processes.
    """

    name = "best"

    def combine(self, corrections: Corrections) -> Recombined:
        """Evaluate f at all ends, each on the process that has it; the best one is the trial."""
        measure = corrections.problem.geometry
        if measure.sharded:
            raise ValueError(
                "the recombination 'best' compares whole models, and this one lies in pieces on "
                "several processes; choose 'sum'"
            )
        theta, executor = corrections.point.theta, corrections.executor
        own = corrections.ends()

        def slope_to(end: torch.Tensor) -> Number:
            if corrections.blind:
                return lambda: math.nan
            return measure.dot_later(corrections.point.gradient, end - theta)

        found = {
            d: (measure.length_later(p.theta - theta, corrections.norm), slope_to(p.theta))
            for d, p in own.items()
        }
        rows = corrections.numbers(
            {d: [own[d].value, length(), slope()] for d, (length, slope) in found.items()}
        )
        ranked = [
            row[0] if math.isfinite(row[0]) and decrease > 0.0 else math.inf
            for row, decrease in zip(rows, corrections.decreases, strict=True)
        ]  # one that has stood still is no end
        winner = ranked.index(min(ranked))
        value, length, slope = rows[winner]

        trial = Distant(
            value,
            lambda: executor.pick({d: p.theta for d, p in own.items()}, winner, theta),
            lambda: executor.pick(
                {d: p.gradient for d, p in own.items() if d == winner}, winner, theta
            ),
            own.get(winner, corrections.point),
        )
        return Recombined(
            step=None,
            predicted=corrections.decreases[winner],
            found=Found(trial, length, slope),
        )

    def ball(
        self, radius: float, subdomains: list[Subdomain], problem: Problem, norm: str = "2"
    ) -> float:
        """Δ: the step is one of the local ones."""
        return radius

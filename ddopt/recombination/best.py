"""The best end: of the points that the subdomains reached, the one where f(·; D) is smallest.

Every process evaluates f on all of D at its own end, which costs no communication beyond a number;
then the best end travels, and its gradient with it. Where the parts of the subdomains overlap, one
of the ends is usually far better than their mean (docs/design/decomposition.md).
"""

from __future__ import annotations

import math

from ddopt.problem import Point
from ddopt.recombination.recombination import Corrections, Recombination, Recombined


class Best(Recombination):
    """s = R_dᵀ s_d of the d whose end has the smallest f(·; D); pred = its own decrease.

    Needs problems that every process can evaluate on all of D. One synchronisation: N numbers, then
    the end and, once it is accepted, its gradient.
    """

    name = "best"

    def combine(self, corrections: Corrections) -> Recombined:
        """Evaluate all ends, each where it is, and hand the best one round."""
        problem, count = corrections.problem.alone, len(corrections.subdomains)
        if problem.geometry.sharded:
            raise ValueError(
                "the recombination 'best' compares whole models, and this one lies in pieces on "
                "several processes; choose 'sum'"
            )
        theta, executor = corrections.point.theta, corrections.executor
        own = {
            d: problem.at(theta + corrections.subdomains[d].prolong(step, theta.numel()))
            for d, step in corrections.steps.items()
        }
        values = [row[0] for row in executor.numbers({d: [p.value] for d, p in own.items()}, count)]
        ranked = [value if math.isfinite(value) else math.inf for value in values]
        winner = ranked.index(min(ranked))

        end = executor.pick({d: p.theta for d, p in own.items()}, winner, theta)
        trial = Point(
            end,
            values[winner],
            lambda: executor.pick(
                {d: p.gradient for d, p in own.items() if d == winner}, winner, theta
            ),
        )
        return Recombined(
            step=end - theta,
            predicted=corrections.decreases[winner],
            trial=trial,
            parallel=problem.cost,
            total=problem.cost * count,
        )

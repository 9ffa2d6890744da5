"""The mean of the local steps over the subdomains that move a parameter."""

from __future__ import annotations

import math

from pydantic import Field

from ddopt.component import Settings
from ddopt.recombination.recombination import Corrections, Recombination, Recombined


class Mean(Recombination):
    """s = (Σ_d R_dᵀ s_d) / (number of d that move the parameter), pred = mean decrease.

    Each s_d lies in the ball of radius Δ, and so does their mean: Δ_d = Δ.
    """

    name = "mean"

    class Config(Settings):
        """Options of the mean."""

        weighted: bool = Field(
            False,
            description="weight a subdomain by the share of the samples it stands for",
        )

    def combine(self, corrections: Corrections) -> Recombined:
        """Average the steps and, by the same weights, the decreases."""
        subdomains = corrections.subdomains
        count = len(subdomains)
        if self.config.weighted and isinstance(corrections.movers, int):
            total = math.fsum(subdomain.weight for subdomain in subdomains)
            weights = [subdomain.weight / total for subdomain in subdomains]
            predicted = math.fsum(
                w * d for w, d in zip(weights, corrections.decreases, strict=True)
            )
            return Recombined(corrections.sum(weights), predicted)
        movers = corrections.movers
        largest = movers if isinstance(movers, int) else int(movers.max())
        step = corrections.sum() / (movers if isinstance(movers, int) else movers.clamp(min=1.0))
        # Disjoint subdomains add up; N copies of one set of parameters are averaged.
        return Recombined(step, math.fsum(corrections.decreases) / min(largest, count))

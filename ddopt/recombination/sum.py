"""The sum of the local steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.recombination.recombination import (
    Corrections,
    Recombination,
    Recombined,
    disjoint,
)

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain


class Sum(Recombination):
    """s = Σ_d R_dᵀ s_d, pred = Σ_d decrease_d (arXiv 2502.05133, equations 5 and 6)."""

    name = "sum"

    def combine(self, corrections: Corrections) -> Recombined:
        """Add the steps, add the decreases."""
        return Recombined(corrections.sum(), math.fsum(corrections.decreases))

    def ball(self, radius: float, subdomains: list[Subdomain], n: int) -> float:
        """Δ/N, or Δ/√N where the steps are orthogonal: they move different parameters."""
        count = len(subdomains)
        return radius / (math.sqrt(count) if disjoint(subdomains, n) else count)

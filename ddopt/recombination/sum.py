"""The sum of the local steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.recombination.recombination import Corrections, Recombination, Recombined, cover

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain
    from ddopt.problem import Problem


class Sum(Recombination):
    """s = Σ_d R_dᵀ s_d, pred = Σ_d decrease_d (arXiv 2502.05133, equations 5 and 6)."""

    name = "sum"

    def combine(self, corrections: Corrections) -> Recombined:
        """Add the steps, add the decreases."""
        return Recombined(corrections.sum(), math.fsum(corrections.decreases))

    def ball(
        self, radius: float, subdomains: list[Subdomain], problem: Problem, norm: str = "2"
    ) -> float:
        """Δ/√(mN), where at most m subdomains move one parameter.

        Δ/N for parts of the samples, Δ/√N for disjoint parameters, Δ/(N_D √N_P) for a product: by
        Cauchy and Schwarz, ‖s‖² <= m Σ_d ‖s_d‖². Δ/m in the ∞-norm: disjoint boxes nest in Δ's.
        """
        most, _ = cover(subdomains, problem)
        return radius / (most if norm == "inf" else math.sqrt(most * len(subdomains)))

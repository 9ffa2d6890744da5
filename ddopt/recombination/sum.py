"""The sum of the local steps."""

from __future__ import annotations

import math

from ddopt.recombination.recombination import Corrections, Recombination, Recombined


class Sum(Recombination):
    """s = Σ_d R_dᵀ s_d, pred = Σ_d decrease_d (arXiv 2502.05133, equations 5 and 6)."""

    name = "sum"

    def combine(self, corrections: Corrections) -> Recombined:
        """Add the steps, add the decreases."""
        return Recombined(corrections.sum(), math.fsum(corrections.decreases))

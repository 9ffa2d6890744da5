"""The mean of the local steps over the subdomains that move a parameter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.recombination.assembly import cover
from ddopt.recombination.recombination import Corrections, Recombination, Recombined
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain
    from ddopt.evaluation.problem import Problem


class Mean(Recombination):
    """s = (Σ_d w_d R_dᵀ s_d) / (Σ w_d over the d that move the parameter), pred likewise.

    What is disjoint adds up, copies of one set of parameters are averaged: pred is the sum of the
    weighted decreases over the largest Σ w_d.
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
        weighted = self.config.weighted
        weights = [s.weight if weighted else 1.0 for s in corrections.subdomains]
        movers = corrections.movers(weights)
        step = corrections.sum(weights if weighted else None)
        decrease = math.fsum(w * d for w, d in zip(weights, corrections.decreases, strict=True))
        if isinstance(movers, torch.Tensor):
            divisor = movers.masked_fill(movers == 0.0, 1.0)  # what nobody moves stays
            return Recombined(step / divisor, decrease / float(movers.max()))
        return Recombined(step / movers, decrease / movers)

    def ball(
        self, radius: float, subdomains: list[Subdomain], problem: Problem, norm: str = "2"
    ) -> float:
        """Δ for copies of all parameters; Δ/√N_P for N_P disjoint groups of them.

        By convexity ‖s‖² <= Σ_d ‖s_d‖² / min m_p over what d moves; see :func:`cover`.
        """
        _, sheets = cover(subdomains, problem)
        return radius if norm == "inf" else radius / math.sqrt(sheets)

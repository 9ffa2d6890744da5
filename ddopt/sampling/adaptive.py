"""Mini-batches with additional samples: the batches grow where these refute a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.problem import Samples
from ddopt.randomness import generator
from ddopt.sampling.batches import Batches

if TYPE_CHECKING:
    from ddopt.parts import StepReport
    from ddopt.problem import Problem


class Adaptive(Batches):
    """Mini-batches that come with a few independent samples, for the acceptance ``asntr``.

    Every iteration draws its additional samples anew from all of D, whatever the batch holds. The
    batches grow after an iteration in which they refuted a step that the batch had taken: it was
    then too small to stand for D. They never shrink, and once one is everything nothing is
    drawn any more. Source: Krejić, Krklec Jerinkić, Martínez and Yousefi, Comput. Optim. Appl.
    (2024), whose other occasion to grow, a gradient small for the batch's size, is left out.
    """

    name = "adaptive"

    class Config(Batches.Config):
        """Size of the mini-batches and of the additional sample."""

        size: int = Field(1_000, ge=1, description="samples of the first mini-batches")
        growth: float = Field(
            1.1, gt=1.0, description="factor by which the size grows when a step is refuted"
        )
        extra: int = Field(32, ge=1, description="additional samples of each term of the loss")

    def problem(self, whole: Problem, iteration: int) -> Problem:
        """f of an iteration, with f on its additional samples as ``extra``."""
        problem = super().problem(whole, iteration)
        full, own = whole.samples, problem.samples
        if full is None or own is None or own.counts == full.counts:
            return problem
        terms = []
        for t, term in enumerate(full.terms):
            random = generator(self.seed, "additional samples", iteration, t)
            picked = torch.randperm(len(term), generator=random)[: self.config.extra]
            terms.append(term[picked.sort().values.to(term.device)])
        problem.extra = whole.drawn(self.draw(iteration)).part(Samples(tuple(terms)))
        return problem

    def observe(self, report: StepReport) -> None:
        """Grow where a step was refuted; from the next mini-batch on."""
        if report.refuted:
            self.size *= self.config.growth
            self._since = self.draw(report.iteration) + 1

    def state_dict(self) -> dict[str, Any]:
        """How far the batches have grown."""
        return {"size": self.size, "since": self._since, "losses": []}

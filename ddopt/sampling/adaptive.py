"""Mini-batches with additional samples: the batches grow where these refute a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator
from ddopt.sampling.batches import Batches

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.method.parts import StepReport


class Adaptive(Batches):
    """Mini-batches that come with a few independent samples, for the acceptance ``asntr``.

    Every draw has additional samples of its own from all of D, whatever the batch holds. The
    batches grow after a draw in which they refuted a step that the batch had taken: it was then too
    small to stand for D. They never shrink, and once one is everything nothing is drawn any more.
    Source: Krejić, Krklec Jerinkić, Martínez and Yousefi, Comput. Optim. Appl.
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

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._refuted = False  # whether a step on the mini-batch at hand was

    def problem(self, whole: Problem, iteration: int) -> Problem:
        """f of an iteration, with f on its additional samples as ``extra``."""
        problem = super().problem(whole, iteration)
        full, own = whole.samples, problem.samples
        if full is None or own is None or own.counts == full.counts:
            return problem
        terms, number = [], self.draw(iteration)
        for t, term in enumerate(full.terms):
            random = generator(self.seed, "additional samples", number, t)
            picked = torch.randperm(len(term), generator=random)[: self.config.extra]
            terms.append(term[picked.sort().values.to(term.device)])
        problem.extra = whole.drawn(number).part(Samples(tuple(terms)))
        return problem

    def observe(self, report: StepReport) -> None:
        """Grow where a step was refuted; from the next mini-batch on."""
        self._refuted |= bool(report.refuted)
        if self._refuted and self._last_of_draw(report.iteration):
            self._grow(report.iteration)
            self._refuted = False

    def state_dict(self) -> dict[str, Any]:
        """How far the batches have grown, and whether they will after this one."""
        return {"size": self.size, "since": self._since, "losses": [], "refuted": self._refuted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        super().load_state_dict(state)
        self._refuted = bool(state["refuted"])

"""Local steps: workers that walk by themselves and meet once in a while.

N workers begin a round at θ, each makes H steps of its own optimizer on mini-batches of its own,
and their mean is an outer step's target: the outer optimizer, SGD with Nesterov momentum, takes
θ − mean of θ_i for a gradient. States of the inner optimizers stay where they are.

    local AdamW: the outer rate is 1, without momentum, so that θ⁺ is the mean (local SGD,
                 Stich, ICLR 2019, with another optimizer inside)
    DiLoCo:      AdamW inside, outer rate 0.7 and momentum 0.9 (Douillard et al., arXiv 2311.08105)
    MuLoCo:      Muon inside (Thérien et al., arXiv 2505.23725), the outer step as DiLoCo's

The inner rate is swept, and falls along a cosine, as in both papers. H is 30 by default, as in
MuLoCo; DiLoCo's 500 is for runs of 88,000 steps. All workers' evaluations are counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt_rivals.published import AdamW, Muon, Stepping
from ddopt_rivals.shaped import Shaped

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


class LocalSteps(Stepping):
    """The rounds; which optimizer is inside is said by the other class that a rival is made of."""

    class Config(Stepping.Config):
        """Who meets when, and how far the outer step goes."""

        workers: int = Field(2, ge=1, le=1024, description="N, each with an optimizer of its own")
        steps: int = Field(30, ge=1, description="H, of each worker between two meetings")
        outer_rate: float = Field(0.7, gt=0.0, description="of the outer SGD")
        outer_momentum: float = Field(0.9, ge=0.0, lt=1.0, description="of its Nesterov momentum")

    def minimise(self, f: Objective) -> str:
        """Rounds until the budget is spent, in the middle of one if need be."""
        layout, c = f.task.problem.layout, self.config
        mean = Shaped(f.start, layout)
        workers = [Shaped(f.start, layout) for _ in range(c.workers)]
        inner = [self.optimizer(worker) for worker in workers]
        rates = [group["lr"] for group in inner[0].param_groups]
        momentum: dict[str, Any] = {"momentum": c.outer_momentum, "nesterov": c.outer_momentum > 0}
        outer = torch.optim.SGD(mean.parts, lr=c.outer_rate, **momentum)
        while True:
            self._round(f, workers, inner, rates)
            target = torch.stack([worker.theta for worker in workers]).mean(0)
            mean.give(mean.theta - target)
            outer.step()
            for worker in workers:
                worker.take(mean.theta)

    def _round(
        self,
        f: Objective,
        workers: list[Shaped],
        inner: list[torch.optim.Optimizer],
        rates: list[float],
    ) -> None:
        """H steps of every worker. At the first of them all, θ is where all of them are."""
        for i in range(self.config.steps):
            for worker, optimizer in zip(workers, inner, strict=True):
                theta = worker.theta
                value, gradient = f.at(theta)
                if i == 0 and worker is workers[0]:
                    f.iterate(theta, value)
                else:
                    f.skip(value)
                worker.give(gradient)
                self.step(optimizer, rates, f.share)


class LocalAdamW(LocalSteps, AdamW):
    """AdamW of every worker; the mean of the ends is where the next round begins."""

    name = "local_adamw"

    class Config(LocalSteps.Config):
        """The mean itself."""

        outer_rate: float = Field(1.0, gt=0.0, description="of the outer SGD")
        outer_momentum: float = Field(0.0, ge=0.0, lt=1.0, description="of its Nesterov momentum")


class DiLoCo(LocalSteps, AdamW):
    """AdamW of every worker, and an outer Nesterov step."""

    name = "diloco"

    class Config(LocalSteps.Config):
        """The authors' rate."""

        rate: float = Field(4e-4, gt=0.0, description="learning rate of AdamW at the start")


class MuLoCo(LocalSteps, Muon):
    """Muon of every worker, and an outer Nesterov step."""

    name = "muloco"

    class Config(LocalSteps.Config):
        """Muon's rate."""

        rate: float = Field(2e-2, gt=0.0, description="learning rate of hidden matrices")

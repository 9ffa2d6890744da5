"""First-order rivals, one gradient a step, from the package pytorch-optimizer.

Options are those that the authors give, with two exceptions that all share: no weight decay unless
asked for, as a training loss is compared; and a rate that falls to zero along a cosine over the
budget, as the authors of each train with one such schedule or another.

Sources: SOAP, Vyas et al., arXiv 2409.11321. Muon, Jordan et al., 2024, with Nesterov momentum 0.95
and AdamW for the first layer, the last one and vectors. Kron, Li, PSGD, arXiv 2211.04422. Shampoo,
Gupta, Koren and Singer, ICML 2018. Lion, Chen et al., NeurIPS 2023. Prodigy, Mishchenko and
Defazio, ICML 2024. AdamW, Loshchilov and Hutter, ICLR 2019.
"""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.setup.component import Settings
from ddopt_rivals.packages import needed
from ddopt_rivals.shaped import Shaped

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective

PACKAGE = "pytorch_optimizer"
MUON_TO_ADAMW = 3e-4 / 0.02  # the authors' rates: of AdamW for what Muon leaves, over that of Muon


class Stepping(Baseline):
    """An optimizer of layers that takes one gradient for each step."""

    tuned, mini = True, True

    class Config(Settings):
        """What all of them are told."""

        rate: float = Field(1e-3, gt=0.0, description="learning rate at the start")
        weight_decay: float = Field(0.0, ge=0.0, description="decay of the weights")
        cosine: bool = Field(True, description="let the rate fall to zero over the budget")

    def check(self) -> None:
        """Import pytorch-optimizer."""
        needed(PACKAGE, self.name)

    @abstractmethod
    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""

    def minimise(self, f: Objective) -> str:
        """Step until the budget is spent."""
        shaped = Shaped(f.start, f.task.problem.layout)
        optimizer = self.optimizer(shaped)
        rates = [group["lr"] for group in optimizer.param_groups]
        while True:
            theta = shaped.theta
            value, gradient = f.at(theta)
            f.iterate(theta, value)
            shaped.give(gradient)
            self.step(optimizer, rates, f.share)

    def step(self, optimizer: torch.optim.Optimizer, rates: list[float], spent: float) -> None:
        """One step, with rates that fall along the cosine at the share of the budget ``spent``."""
        if self.config.cosine:
            share = 0.5 * (1.0 + math.cos(math.pi * spent))
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = share * rate
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own calls
            optimizer.step()

    def given(self, **options: Any) -> dict[str, Any]:
        """The rate and the decay, with options of one's own."""
        return {"lr": self.config.rate, "weight_decay": self.config.weight_decay, **options}


class SOAP(Stepping):
    """Adam in the eigenbasis of Shampoo's preconditioner, which is renewed every few steps."""

    name = "soap"
    look = 13

    class Config(Stepping.Config):
        """The authors' defaults."""

        rate: float = Field(3e-3, gt=0.0, description="learning rate at the start")
        every: int = Field(10, ge=1, description="steps between two eigenbases")

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """SOAP."""
        made: torch.optim.Optimizer = needed(PACKAGE, self.name).SOAP(
            shaped.parts, **self.given(precondition_frequency=self.config.every)
        )
        return made


class Muon(Stepping):
    """Orthogonal momentum for hidden matrices, AdamW for everything else."""

    name = "muon"

    class Config(Stepping.Config):
        """The authors' defaults."""

        rate: float = Field(2e-2, gt=0.0, description="learning rate of hidden matrices")

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """Muon; the rate of AdamW keeps the authors' ratio to it."""
        hidden, others = shaped.hidden()
        rest = {**self.given(), "lr": MUON_TO_ADAMW * self.config.rate}
        groups = [
            {"params": hidden, "use_muon": True, **self.given()},
            {"params": others, "use_muon": False, **rest},
        ]
        groups = [group for group in groups if group["params"]]
        made: torch.optim.Optimizer = needed(PACKAGE, self.name).Muon(groups)
        return made


class Kron(Stepping):
    """PSGD with Kronecker factors, learnt with a probability that falls to 0.03."""

    name = "kron"

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """Kron, with preconditioners in the numbers of the parameters."""
        made: torch.optim.Optimizer = needed(PACKAGE, self.name).Kron(
            shaped.parts, **self.given(precondition_dtype=shaped.parts[0].dtype)
        )
        return made


class Shampoo(Stepping):
    """Roots of Kronecker factors that add up squared gradients."""

    name = "shampoo"

    class Config(Stepping.Config):
        """A root at every step, as published: old factors make some steps far too long."""

        every: int = Field(1, ge=1, description="steps between two roots of the factors")

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """Shampoo as first published."""
        made: torch.optim.Optimizer = needed(PACKAGE, self.name).Shampoo(
            shaped.parts, **self.given(preconditioning_compute_steps=self.config.every)
        )
        return made


class Lion(Stepping):
    """The sign of a momentum."""

    name = "lion"

    class Config(Stepping.Config):
        """The authors' default."""

        rate: float = Field(1e-4, gt=0.0, description="learning rate at the start")

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """Lion."""
        made: torch.optim.Optimizer = needed(PACKAGE, self.name).Lion(shaped.parts, **self.given())
        return made


class Prodigy(Stepping):
    """Adam that estimates its own learning rate; there is none to tune."""

    name = "prodigy"
    tuned = False

    class Config(Stepping.Config):
        """The authors' advice: a rate of 1, with a cosine."""

        rate: float = Field(1.0, gt=0.0, description="factor of the estimated rate")

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """Prodigy."""
        made: torch.optim.Optimizer = needed(PACKAGE, self.name).Prodigy(
            shaped.parts, **self.given(safeguard_warmup=True)
        )
        return made


class AdamW(Stepping):
    """torch.optim.AdamW with a cosine."""

    name = "adamw"

    def check(self) -> None:
        """Torch is there."""

    def optimizer(self, shaped: Shaped) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(shaped.parts, **self.given())

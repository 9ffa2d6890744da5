"""Adam, then L-BFGS: what most publications on physics-informed networks train with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.compare.lbfgs import LBFGS

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


class AdamLBFGS(LBFGS):
    """torch.optim.Adam for a share of the budget, and then the baseline ``lbfgs``."""

    name = "adam_lbfgs"
    tuned = True
    look = None

    class Config(LBFGS.Config):
        """Where the one ends and the other begins."""

        rate: float = Field(1e-3, gt=0.0, description="learning rate of Adam")
        first: float = Field(0.5, gt=0.0, lt=1.0, description="share of the budget for Adam")

    def minimise(self, f: Objective) -> str:
        """Until the budget is spent, or the line search finds nothing better."""
        theta = torch.nn.Parameter(f.start.clone())
        optimizer = torch.optim.Adam([theta], lr=self.config.rate)
        while f.share < self.config.first:
            value, theta.grad = f.at(theta.detach())
            f.iterate(theta, value)
            optimizer.step()
        return self.descend(f, theta.detach())

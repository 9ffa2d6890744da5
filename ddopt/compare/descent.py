"""torch's Adam and SGD, one gradient for each step; the learning rate is an option."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


class Descent(Baseline):
    """An optimizer of torch that takes one gradient for each step."""

    tuned, mini = True, True

    class Config(Settings):
        """The learning rate."""

        rate: float = Field(1e-3, gt=0.0, description="learning rate")

    @abstractmethod
    def optimizer(self, theta: torch.nn.Parameter) -> Any:
        """The optimizer of ``theta`` (n,)."""

    def minimise(self, f: Objective) -> str:
        """Step until the budget is spent."""
        theta = torch.nn.Parameter(f.start.clone())
        optimizer = self.optimizer(theta)
        while True:
            value, theta.grad = f.at(theta.detach())
            f.iterate(theta, value)
            optimizer.step()


class Adam(Descent):
    """torch.optim.Adam with its own momenta."""

    name = "adam"
    look = 6

    def optimizer(self, theta: torch.nn.Parameter) -> Any:
        """Adam."""
        return torch.optim.Adam([theta], lr=self.config.rate)


class SGD(Descent):
    """torch.optim.SGD without momentum."""

    name = "sgd"
    look = 8

    def optimizer(self, theta: torch.nn.Parameter) -> Any:
        """Plain gradient descent."""
        return torch.optim.SGD([theta], lr=self.config.rate)

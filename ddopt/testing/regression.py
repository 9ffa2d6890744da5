"""A small problem to try methods and plugins on: registered under ``regression``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.evaluation.autograd import AutogradProblem, Named
from ddopt.numerics.space import Parameters
from ddopt.setup.component import Settings
from ddopt.task import Task
from ddopt.testing.problems import network

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Samples
    from ddopt.task import Setting


class Regression(Task):
    """A tanh network of two layers fits sin(x + y + z) + x² at random points; for trying out."""

    name = "regression"

    class Config(Settings):
        """The size of the problem."""

        samples: int = Field(37, ge=1, description="number of points")
        width: int = Field(8, ge=1, description="hidden units of each of the two layers")

    def prepare(self, setting: Setting) -> None:
        """Points and network follow from the seed."""
        from torch.func import functional_call

        from ddopt.evaluation.problem import Samples

        device, dtype = setting.device, setting.dtype
        net = network(width=self.config.width, seed=setting.seed).to(device, dtype)
        generator = torch.Generator().manual_seed(setting.seed + 1)
        x = torch.randn(self.config.samples, 3, generator=generator, dtype=torch.float64)
        t = (torch.sin(x.sum(dim=1, keepdim=True)) + x[:, :1] ** 2).to(device, dtype)
        x = x.to(device, dtype)

        def sums(named: Named, picked: Samples) -> tuple[torch.Tensor, ...]:
            i = picked.terms[0]
            return (((functional_call(net, dict(named), (x[i],)) - t[i]) ** 2).sum(),)

        parameters = Parameters(net.named_parameters())
        samples = Samples.all(self.config.samples)
        self.problem = AutogradProblem(parameters.layout, sums, samples)
        self.initial = parameters.read()

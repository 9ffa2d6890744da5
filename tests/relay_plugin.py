"""A problem for the tests of variants: least squares with a network that can be cut into stages."""

import torch

import ddopt
from ddopt.pipeline import StagedProblem, cut
from ddopt.testing.problems import network, regression


class Relay(ddopt.Task):
    """37 samples, 113 parameters in three layers."""

    name = "relay"

    def prepare(self, setting):
        self.problem, self.initial = regression()

    def staged(self, stages, chunks, executor):
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(37, 3, generator=generator, dtype=torch.float64)
        t = torch.sin(x.sum(dim=1, keepdim=True)) + x[:, :1] ** 2
        return StagedProblem(
            cut(network(), stages),
            lambda i: x[i],
            lambda output, i: ((output - t[i]) ** 2).sum(),
            ddopt.Samples.all(37),
            executor,
            chunks=chunks,
            dtype=torch.float64,
        )


@ddopt.hookimpl
def ddopt_register(register):
    register(Relay)

"""Peak memory of each process when one network is trained on 1, 2 and 4 of them.

With stages (SAPTS_IP) a process holds its own: their parameters, gradient, activations and
curvature. The data-parallel trust region holds all of that whole, or with ``memory_pieces`` a share
of the curvature. The figures are resident memory above that of a process which has only imported
PyTorch.

    python examples/benchmarks/memory.py [--width 512] [--layers 16] [--memory 10]
    python examples/benchmarks/memory.py --pieces 4
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition.stages import Stages
from ddopt.evaluation.autograd import AutogradProblem, Named
from ddopt.evaluation.problem import Samples
from ddopt.executor import Executor, Split
from ddopt.hessian.lsr1 import LSR1
from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.numerics.space import Layout
from ddopt.pipeline import StagedProblem, cut
from ddopt.radius.stepwise import Stepwise
from ddopt.recombination.sum import Sum
from ddopt.solver.trust_region import TrustRegion
from ddopt.subproblem.obs import OBS
from ddopt.testing.ranks import run_ranks

MB = 1024.0 * 1024.0


def peak() -> float:
    """The largest resident memory of this process so far, in MB."""
    unit = 1.0 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def network(width: int, layers: int) -> nn.Sequential:
    """A deep perceptron; on the meta device it takes no memory."""
    with torch.device("meta"):
        hidden = [module for _ in range(layers) for module in (nn.Linear(width, width), nn.Tanh())]
        return nn.Sequential(*hidden, nn.Linear(width, 1))


def data(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """64 samples and their targets."""
    x = torch.randn(64, width, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1].sin()


def train(
    executor: Executor, width: int, layers: int, memory: int, stages: int
) -> tuple[float, int, list[float]]:
    """Three outer iterations; returns the peak in MB, own parameters, and the losses."""
    before = peak()
    x, y = data(width)
    problem = StagedProblem(
        cut(network(width, layers), stages),
        lambda i: x[i],
        lambda output, i: (output - y[i]).square().sum(),
        Samples.all(64),
        executor,
        chunks=4,
    )
    parts = {"acceptance": Monotone(), "radius": Stepwise()}
    region = TrustRegion.Config(hessian=LSR1(memory=memory), subproblem=OBS(), **parts)
    local = Preconditioner(Stages(), region, Sum(), iterations=2, **parts)
    engine = Engine(Parts(local, GlobalPass(region.build())), executor)  # type: ignore[arg-type]
    engine.prepare(problem.layout, problem)
    engine.start(problem, problem.initial())
    losses = [engine.step(problem).loss for _ in range(3)]
    return peak() - before, problem.layout.size, losses


def share(
    executor: Executor, width: int, layers: int, memory: int, pieces: int
) -> tuple[float, int, list[float]]:
    """The trust region until its memory is full; the memory whole (1) or in pieces."""
    before = peak()
    x, y = data(width)
    model = network(width, layers)

    def sums(named: Named, samples: Samples) -> tuple[torch.Tensor, ...]:
        (i,) = samples.terms
        return ((functional_call(model, dict(named), (x[i],)) - y[i]).square().sum(),)

    named = list(model.named_parameters())
    layout = Layout(tuple(name for name, _ in named), tuple(p.shape for _, p in named), x.dtype)
    problem = Split(AutogradProblem(layout, sums, Samples.all(64)), 4, executor)
    parts = {"acceptance": Monotone(), "radius": Stepwise()}
    region = TrustRegion.Config(hessian=LSR1(memory=memory), subproblem=OBS(), **parts)
    solver: Any = region.build()
    engine = Engine(Parts(None, GlobalPass(solver, 1, pieces)), executor, 4)
    theta = torch.randn(layout.size, generator=torch.Generator().manual_seed(1)) / width**0.5
    engine.start(problem, theta)
    losses = [engine.step(problem).loss for _ in range(memory + 2)]
    return peak() - before, layout.size, losses


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--memory", type=int, default=10, help="secant pairs of every solver")
    parser.add_argument(
        "--pieces", type=int, help="of the memory of a data-parallel trust region; no stages"
    )
    given = parser.parse_args()
    what = "stages and processes" if given.pieces is None else "processes"
    print(f"| {what} | own parameters (largest) | peak of each process, MB | seconds |")
    print("|---|---|---|---|")
    for count in (1, 2, 4):
        began = time.perf_counter()
        sizes = (given.width, given.layers, given.memory, given.pieces or count)
        method = train if given.pieces is None else share
        found = run_ranks(method, count, *sizes, timeout=600.0, start="spawn")
        peaks = ", ".join(f"{megabytes:.0f}" for megabytes, _, _ in found)
        largest = max(size for _, size, _ in found)
        print(
            f"| {count} | {largest:,} | {peaks} | {time.perf_counter() - began:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()

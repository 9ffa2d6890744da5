"""Peak memory of each process when one network is trained on 1, 2 and 4 stages (SAPTS_IP).

Every process holds its own stages: their parameters, gradient, activations and curvature. The
figures are resident memory above that of a process which has only imported PyTorch.

    python examples/benchmarks/memory.py [--width 512] [--layers 16] [--memory 10]
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import torch
from torch import nn

from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition.stages import Stages
from ddopt.engine import Engine, GlobalPass, Parts, Preconditioner
from ddopt.executor import Executor
from ddopt.hessian.lsr1 import LSR1
from ddopt.pipeline import StagedProblem, cut
from ddopt.problem import Samples
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
    hidden = [module for _ in range(layers) for module in (nn.Linear(width, width), nn.Tanh())]
    with torch.device("meta"):
        return nn.Sequential(*hidden, nn.Linear(width, 1))


def train(
    executor: Executor, width: int, layers: int, memory: int, stages: int
) -> tuple[float, int, list[float]]:
    """Three outer iterations; returns the peak in MB, own parameters, and the losses."""
    before = peak()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, width, generator=generator)
    y = x[:, :1].sin()
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--memory", type=int, default=10, help="secant pairs of every solver")
    given = parser.parse_args()
    print(
        "| stages and processes | own parameters (largest) | peak of each process, MB | seconds |"
    )
    print("|---|---|---|---|")
    for count in (1, 2, 4):
        began = time.perf_counter()
        sizes = (given.width, given.layers, given.memory, count)
        found = run_ranks(train, count, *sizes, timeout=600.0, start="spawn")
        peaks = ", ".join(f"{megabytes:.0f}" for megabytes, _, _ in found)
        largest = max(size for _, size, _ in found)
        print(
            f"| {count} | {largest:,} | {peaks} | {time.perf_counter() - began:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()

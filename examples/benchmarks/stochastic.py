"""Growing mini-batches and momentum on MNIST-FC: what ASNTR and L-SSR1-TR bring, at equal cost.

    python examples/benchmarks/stochastic.py [--samples 2000] [--budget 20] [--seeds 0 1 2]

Every method spends the same number of sample-gradients, in multiples of one gradient over all
samples; additional samples and line searches count. The loss is over all samples, at the end.
"""

import argparse
import math
import statistics

import torch

from ddopt.acceptance.asntr import ASNTR
from ddopt.acceptance.monotone import Monotone
from ddopt.executor import Serial
from ddopt.hessian.lsr1 import LSR1
from ddopt.method.engine import Engine
from ddopt.sampling.adaptive import Adaptive
from ddopt.sampling.batches import Batches
from ddopt.sampling.full import Full
from ddopt.solver.lssr1 import LSSR1
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting
from ddopt_sapts.trust_region import TrustRegion as Plain
from ddopt_vision.datasets import MNIST

MEMORY = LSR1.Config(memory=10)


def region(acceptance=Monotone):
    return TrustRegion.Config(hessian=MEMORY, acceptance=acceptance.Config())


def methods(size):
    """Name, solver, and what makes its sampling."""
    return [
        ("all samples, trust region", region(), Full),
        ("all samples, L-SSR1-TR", LSSR1.Config(hessian=MEMORY), Full),
        ("all samples, without its search", LSSR1.Config(hessian=MEMORY, searches=1), Full),
        ("batches, monotone", region(), lambda: Batches(size=size)),
        (
            "batches, growing on stagnation",
            region(),
            lambda: Batches(size=size, growth=1.5, patience=3),
        ),
        ("batches, L-SSR1-TR", LSSR1.Config(hessian=MEMORY), lambda: Batches(size=size)),
        ("adaptive, ASNTR", region(ASNTR), lambda: Adaptive(size=size)),
    ]


def run(task, solver, sampling, budget):
    """Loss over all samples, accuracy, size of the last batch, and how many steps were refuted."""
    engine = Engine(Plain().parts(solver), Serial(), 1)
    spent, refuted = engine.start(sampling.problem(task.problem, 0), task.initial), 0
    while spent < budget:
        problem = sampling.problem(task.problem, engine.iteration)
        report = engine.step(problem)
        sampling.observe(report)
        spent, refuted = spent + report.total, refuted + report.refuted
    theta = engine.point.theta
    loss, accuracy = task.problem.at(theta).value, task.measure(theta)["accuracy"]
    return loss, accuracy, len(problem.samples), refuted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--size", type=int, default=200, help="samples of the first mini-batches")
    parser.add_argument("--budget", type=float, default=20.0, help="full gradients")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--root", help="folder of the data set")
    options = parser.parse_args()
    tasks = []
    for seed in options.seeds:
        tasks.append(MNIST(root=options.root, train_samples=options.samples))
        tasks[-1].prepare(Setting(seed, torch.float32, torch.device("cpu")))
    print("| method | loss, geometric mean (per seed) | test accuracy | last batch | refuted |")
    print("|---|---|---|---|---|")
    for name, solver, make in methods(options.size):
        rows = []
        for seed, task in zip(options.seeds, tasks, strict=True):
            sampling = make()
            sampling.prepare(seed)
            rows.append(run(task, solver, sampling, options.budget))
        losses, accuracies, sizes, refuted = zip(*rows, strict=True)
        mean = math.exp(statistics.fmean(map(math.log, losses)))
        each = ", ".join(f"{loss:.2g}" for loss in losses)
        print(
            f"| {name} | {mean:.2g} ({each}) | {statistics.fmean(accuracies):.1%} "
            f"| {', '.join(map(str, sizes))} | {sum(refuted)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""MNIST, 535,818 parameters: trust regions with one set of defaults against tuned Adam.

Every method gets the same number of sample-gradients, in multiples of one gradient over the whole
training set, counted over all processes. Adam is run at 13 learning rates from 1e-4 to 1, and the
one with the best test accuracy is shown (arXiv 2502.05133, section 3); the others have no learning
rate, and are run once.

    python examples/benchmarks/mnist.py                        # 10,000 images, full batch
    python examples/benchmarks/mnist.py --samples 60000        # all of them
    python examples/benchmarks/mnist.py --samples 60000 --batch 10000
    python examples/benchmarks/mnist.py --quick                # a minute or two
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ddopt.executor import Serial
from ddopt.hessian.lsr1 import LSR1
from ddopt.method.engine import Engine
from ddopt.method.parts import Parts
from ddopt.sampling import Sampling
from ddopt.sampling.batches import Batches
from ddopt.sampling.full import Full
from ddopt.setup import overrides
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting, Task
from ddopt_sapts.data import SaptsD
from ddopt_sapts.layers import SaptsP
from ddopt_sapts.micro import SaptsM
from ddopt_sapts.trust_region import TrustRegion as Plain
from ddopt_vision.datasets import CIFAR10, MNIST

if TYPE_CHECKING:
    from ddopt.method.strategy import Strategy

RATES = torch.logspace(-4, 0, 13, dtype=torch.float64).tolist()  # every third of a decade

STRATEGIES: dict[str, type[Strategy]] = {"sapts_m": SaptsM, "sapts_d": SaptsD, "sapts_p": SaptsP}


@dataclass
class Row:
    """One method's end."""

    method: str
    accuracy: float
    test_loss: float
    loss: float  # on the last samples it saw
    total: float  # full gradients over all processes
    parallel: float  # on the longest path, one process for each subdomain
    synchronisations: int  # reductions of a full vector
    seconds: float


def adam(task: Task, sampling: Sampling, rate: float, budget: float) -> Row:
    """torch's Adam on the same problem; one gradient for each step."""
    began, spent, steps = time.perf_counter(), 0.0, 0
    theta = torch.nn.Parameter(task.initial.clone())
    optimizer = torch.optim.Adam([theta], lr=rate)
    loss = float("nan")
    while spent < budget:
        f = sampling.problem(task.problem, steps)
        point = f.at(theta.detach())
        theta.grad, loss = point.gradient, point.value
        optimizer.step()
        spent, steps = spent + f.cost, steps + 1
    seconds = time.perf_counter() - began
    measured = task.measure(theta.detach())
    name = f"Adam, rate {rate:.1e}"
    return Row(name, *measured.values(), loss, spent, spent, steps, seconds)


def trust_region(
    name: str, parts: Parts, shares: int, task: Task, sampling: Sampling, budget: float
) -> Row:
    """A method of this project, until the same number of sample-gradients is spent."""
    began = time.perf_counter()
    engine = Engine(parts, Serial(), shares)
    first = sampling.problem(task.problem, 0)
    total = engine.start(first, task.initial)
    parallel, gradients = total / shares, 1
    while total < budget:
        f = sampling.problem(task.problem, engine.iteration)
        gradients += f.draw != engine.draw  # the new samples' gradient at the old point
        report = engine.step(f)
        total, parallel = total + report.total, parallel + report.parallel
        if parts.preconditioner is not None and parts.preconditioner.judged:
            gradients = engine.iteration  # the walks need no gradient of the whole: one sum each
            continue
        gradients += report.accepted + report.global_accepted + report.global_rejected
        if parts.preconditioner is None:
            gradients -= report.accepted  # the global pass is all there is
        else:
            gradients += 1  # the recombined step itself
    seconds = time.perf_counter() - began
    assert engine.point is not None
    measured = task.measure(engine.point.theta)
    loss = engine.point.value
    return Row(name, *measured.values(), loss, total, parallel, gradients, seconds)


def show(row: Row) -> None:
    print(
        f"{row.method:<28} {row.accuracy:8.2%} {row.test_loss:10.4f} {row.loss:10.2e} "
        f"{row.total:8.1f} {row.parallel:9.1f} {row.synchronisations:6d} {row.seconds:8.1f}",
        flush=True,
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["mnist", "cifar10"], default="mnist")
    parser.add_argument("--root", help="folder of the data sets")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--batch", type=int, help="mini-batches of that size, with 5 %% overlap")
    parser.add_argument(
        "--adam-batch", type=int, help="mini-batches of Adam alone; by default those of --batch"
    )
    parser.add_argument("--budget", type=float, default=200.0, help="full gradients")
    parser.add_argument("--subdomains", type=int, nargs="*", default=[2, 4, 6])
    parser.add_argument(
        "--methods", nargs="*", default=["adam", "trust_region", "sapts_m", "sapts_d"]
    )
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="Adam's")
    parser.add_argument(
        "--options", nargs="*", default=[], metavar="KEY=VALUE", help="of every decomposed strategy"
    )
    parser.add_argument("--memory", type=int, default=10, help="secant pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="append the rows to this file, as JSON lines")
    parser.add_argument("--quick", action="store_true", help="2,000 samples, 30 gradients, N = 4")
    given = parser.parse_args()
    if given.quick:
        given.samples, given.budget, given.subdomains = 2_000, 30.0, [4]
    return given


def main() -> None:
    given = options()
    cls = {"mnist": MNIST, "cifar10": CIFAR10}[given.data]
    task = cls(root=given.root, train_samples=given.samples)
    task.prepare(Setting(given.seed, torch.float32, torch.device(given.device)))

    def sampling(batch: int | None, overlap: float = 0.05) -> Sampling:
        chosen = Full() if batch is None else Batches(size=batch, overlap=overlap)
        chosen.prepare(given.seed)
        return chosen

    regime = "full batch" if given.batch is None else f"batches of {given.batch:,}"
    print(f"{task.title}, {given.samples:,} images, {regime}, {given.budget:g} full gradients")
    print(
        f"{'method':<28} {'accuracy':>8} {'test loss':>10} {'loss':>10} "
        f"{'total':>8} {'parallel':>9} {'syncs':>6} {'seconds':>8}"
    )
    own = given.adam_batch
    rows = []
    if "adam" in given.methods:
        rows = [
            adam(task, sampling(own, 0.0) if own else sampling(given.batch), rate, given.budget)
            for rate in given.rates
        ]
        best = max(rows, key=lambda row: row.accuracy)
        best.method += ", best"
        show(best)
    solver = TrustRegion.Config(hessian=LSR1.Config(memory=given.memory))
    methods: list[tuple[str, Parts, int]] = []
    if "trust_region" in given.methods:
        methods.append(("trust region", Plain().parts(solver), 1))
    changed = overrides.apply({}, [overrides.parse(option) for option in given.options])
    for name in given.methods:
        for count in given.subdomains if name in STRATEGIES else ():
            asked: Any = STRATEGIES[name](subdomains=count, **changed)
            strategy, settled = resolve(asked, solver, sampling(given.batch).config)
            methods.append((f"{name}, N = {count}", strategy.parts(settled), count))
    for name, parts, shares in methods:
        rows.append(trust_region(name, parts, shares, task, sampling(given.batch), given.budget))
        show(rows[-1])
    if given.json is not None:
        with given.json.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({**vars(given), "json": None, **asdict(row)}) + "\n")


if __name__ == "__main__":
    main()

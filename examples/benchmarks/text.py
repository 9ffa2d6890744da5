"""TinyShakespeare, a GPT of 4 layers: what 24,000 sample-gradients of 64 characters bring.

That is nanoGPT's CPU setting: 2,000 steps of AdamW on batches of 12. The other methods have no
learning rate. A value counts as much as a gradient, and all processes are counted; the loss is that
of all 1,742 sequences of the validation text.

    python examples/benchmarks/text.py                 # everything; an hour or two on one core
    python examples/benchmarks/text.py adamw sapts_m   # some of it
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.numerics.randomness import generator
from ddopt.sampling.batches import Batches
from ddopt.setup.component import lookup
from ddopt.setup.resolved import resolve
from ddopt.task import Setting
from ddopt_text.language import Shakespeare

LSR1 = {"name": "trust_region", "hessian": {"name": "lsr1", "memory": 10}}
# name: strategy, the run's solver, samples of a mini-batch, its growth
METHODS: dict[str, tuple[dict[str, Any], Any, int, float]] = {
    "sapts_m": ({"name": "sapts_m"}, LSR1, 2_000, 1.0),
    "sapts_m N=2": ({"name": "sapts_m", "subdomains": 2}, LSR1, 2_000, 1.0),
    "sapts_m N=4": ({"name": "sapts_m", "subdomains": 4}, LSR1, 2_000, 1.0),
    "sapts_m muon": ({"name": "sapts_m", "local_solver": "muon"}, LSR1, 2_000, 1.0),
    "sapts_m N=8": ({"name": "sapts_m", "subdomains": 8}, LSR1, 2_000, 1.0),
    "sapts_m not judged": ({"name": "sapts_m", "judged": 0.0}, LSR1, 2_000, 1.0),
    "trust_region_adam": ({"name": "trust_region"}, "trust_region_adam", 48, 1.0),
    "trust_region": ({"name": "trust_region"}, LSR1, 250, 1.0),
    "trust_region growing": ({"name": "trust_region"}, LSR1, 64, 1.5),
    "sapts_d N=4": ({"name": "sapts_d", "subdomains": 4}, LSR1, 250, 1.0),
    "sapts_d N=4 adam": (
        {"name": "sapts_d", "subdomains": 4, "local_solver": "adam", "recombination": "mean"},
        LSR1,
        250,
        1.0,
    ),
    "sapts_p N=4": ({"name": "sapts_p", "subdomains": 4}, LSR1, 250, 1.0),
    "sapts_p N=4 prodigy": (
        {
            "name": "sapts_p",
            "subdomains": 4,
            "local_solver": "prodigy",
            "local_iterations": 1,
            "judged": 0.05,
            "acceptance": "window",
            "global_iterations": 0,
        },
        LSR1,
        2_000,
        1.0,
    ),
}


@dataclass
class Row:
    """One method's end."""

    method: str
    validation: float
    total: float  # sample-gradients over all processes
    parallel: float  # on the longest path
    iterations: int
    seconds: float


def adamw(task: Shakespeare, peak: float, batch: int, budget: int, seed: int) -> Row:
    """nanoGPT's optimizer and schedule for this setting (train_shakespeare_char, CPU)."""
    began, steps = time.process_time(), budget // batch
    theta = torch.nn.Parameter(task.initial.clone())
    layout = task.problem.layout
    views = zip(layout.names, layout.shapes, layout.slices, strict=True)
    matrices = torch.zeros_like(theta)
    for _, shape, where in views:
        matrices[where] = float(len(shape) > 1)
    optimizer = torch.optim.AdamW([theta], betas=(0.9, 0.99), weight_decay=0.0)
    random, warm = generator(seed, "adamw"), steps // 20
    for k in range(steps):
        cosine = 0.5 * (1.0 + math.cos(math.pi * (k - warm) / (steps - warm)))
        rate = peak * ((k + 1) / (warm + 1) if k < warm else 0.1 + 0.9 * cosine)
        optimizer.param_groups[0]["lr"] = rate
        index = torch.randint(len(task.train), (batch,), generator=random)
        gradient = task.problem.part(Samples((index,))).at(theta.detach()).gradient
        theta.grad = gradient * min(1.0, 1.0 / (float(gradient.norm()) + 1e-6))
        with torch.no_grad():  # decay of the matrices alone
            theta -= 0.1 * rate * matrices * theta
        optimizer.step()
    seconds = time.process_time() - began
    loss = task.measure(theta.detach())["validation_loss"]
    return Row(f"AdamW, rate {peak:g}", loss, budget, budget, steps, seconds)


def ours(
    name: str, task: Shakespeare, budget: int, seed: int, options: dict[str, Any]
) -> tuple[Row, torch.Tensor]:
    """A method of this project, until the same number of sample-gradients is spent."""
    chosen, solver, size, growth = METHODS[name]
    chosen = {**chosen, **options}
    asked: Any = lookup("strategy", str(chosen["name"]))(
        **{k: v for k, v in chosen.items() if k != "name"}
    )
    options_of = {"name": solver} if isinstance(solver, str) else solver
    run_solver = lookup("solver", options_of["name"]).Config(
        **{k: v for k, v in options_of.items() if k != "name"}
    )
    sampling = Batches(size=size, growth=growth)
    strategy, run_solver = resolve(asked, run_solver, sampling.config)
    sampling.prepare(seed)
    unit = len(task.train)
    began = time.process_time()
    engine = Engine(strategy.parts(run_solver), Serial(), strategy.subdomains)
    total = engine.start(sampling.problem(task.problem, 0), task.initial)
    parallel = total / strategy.subdomains
    cost = 0.0  # of the last iteration; the next one shall not go beyond the budget
    while (total + cost) * unit <= budget:
        report = engine.step(sampling.problem(task.problem, engine.iteration))
        sampling.observe(report)
        cost = report.total
        total, parallel = total + cost, parallel + report.parallel
    assert engine.point is not None
    seconds = time.process_time() - began
    loss = task.measure(engine.point.theta)["validation_loss"]
    row = Row(name, loss, total * unit, parallel * unit, engine.iteration, seconds)
    return row, engine.point.theta


def show(row: Row) -> None:
    print(
        f"{row.method:<28} {row.validation:8.4f} {row.total:9,.0f} {row.parallel:9,.0f} "
        f"{row.iterations:6d} {row.seconds:8.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=["adamw", *METHODS])
    parser.add_argument("--root", help="folder of the data sets")
    parser.add_argument("--rates", type=float, nargs="*", default=[1e-3, 3e-3])
    parser.add_argument("--budget", type=int, default=24_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", type=json.loads, default={}, help="of the strategies, JSON")
    parser.add_argument("--json", type=Path, help="append the rows to this file, as JSON lines")
    given = parser.parse_args()
    setting = Setting(given.seed, torch.float32, torch.device("cpu"))
    task = Shakespeare(root=given.root)
    task.prepare(setting)
    print(f"{'method':<28} {'val.loss':>8} {'total':>9} {'parallel':>9} {'iter.':>6} {'cpu s':>8}")
    for name in given.methods:
        if name == "adamw":
            everywhere = Shakespeare(root=given.root, stride=1, tied=True)  # as nanoGPT has it
            everywhere.prepare(setting)
            rows = [adamw(everywhere, rate, 12, given.budget, given.seed) for rate in given.rates]
        else:
            rows = [ours(name, task, given.budget, given.seed, given.options)[0]]
        for row in rows:
            show(row)
            if given.json is not None:
                with given.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(row)) + "\n")


if __name__ == "__main__":
    main()

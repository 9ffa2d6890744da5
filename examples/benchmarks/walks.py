"""Walks on micro-batches side by side: accuracy over seeds, and processor time beside Adam's.

Every line of options is a variant of a run file; "adam RATE" is torch's Adam on the same problem,
on micro-batches of 32 and as many passes as ``--passes`` says.

    python examples/benchmarks/walks.py examples/images/mnist.toml \\
        "strategy.subdomains=1 problem.train_samples=10000 stop.evaluations=6" \\
        "strategy.subdomains=4 problem.train_samples=10000 stop.evaluations=1.5" \\
        "adam 1e-3 problem.train_samples=10000" --passes 6 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.numerics.randomness import generator
from ddopt.run.running import Run
from ddopt.setup.config import load

BATCH = 32


def walked(file: Path, words: list[str]) -> dict[str, Any]:
    """A run of ddopt: what it measures at its end, and what it took."""
    run = Run(load(file, words), Serial(), None)
    began = time.process_time()
    run.train()
    seconds = time.process_time() - began
    solvers = run.engine.solvers.values()
    steps = sum(solver.steps for solver in solvers)
    return row(run, run.theta, seconds, steps, length=[solver.radius for solver in solvers])


def adam(file: Path, words: list[str], rate: float, passes: float) -> dict[str, Any]:
    """torch's Adam, without a schedule."""
    run = Run(load(file, words), Serial(), None)
    problem, seed = run.task.problem, run.config.seed
    theta = torch.nn.Parameter(run.task.initial.clone())
    optimizer = torch.optim.Adam([theta], lr=rate)
    began, steps, epoch = time.process_time(), 0, 0
    wanted = round(passes * problem.samples.counts[0] / BATCH)
    while steps < wanted:
        order = torch.randperm(problem.samples.counts[0], generator=generator(seed, "adam", epoch))
        for piece in order.split(BATCH)[: wanted - steps]:
            theta.grad = problem.part(Samples((piece,))).at(theta.detach()).gradient
            optimizer.step()
            steps += 1
        epoch += 1
    return row(run, theta.detach(), time.process_time() - began, steps)


def row(run: Run, theta: torch.Tensor, seconds: float, steps: int, **more: Any) -> dict[str, Any]:
    measured = {k: float(v) for k, v in run.task.measure(theta).items()}
    return {"measured": measured, "seconds": seconds, "steps": steps, **more}


def show(name: str, rows: list[dict[str, Any]]) -> None:
    cells = []
    for key in rows[0]["measured"]:
        found = [one["measured"][key] for one in rows]
        spread = f" ± {statistics.stdev(found):.4f}" if len(found) > 1 else ""
        cells.append(f"{key} {statistics.fmean(found):.4f}{spread}")
    seconds = sum(one["seconds"] for one in rows)
    each = 1e3 * seconds / sum(one["steps"] for one in rows)
    print(
        f"{name}: {', '.join(cells)}; {seconds / len(rows):.1f} s, {each:.2f} ms a step", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="run file")
    parser.add_argument(
        "variants", nargs="+", metavar="'KEY=VALUE ...' | 'adam RATE KEY=VALUE ...'"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--passes", type=float, default=6.0, help="of Adam")
    parser.add_argument("--json", type=Path, help="append the rows to this file, as JSON lines")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.variants:
        rows = []
        for seed in given.seeds:
            words = [*name.split(), f"seed={seed}"]
            if words[0] == "adam":
                rows.append(adam(given.file, words[2:], float(words[1]), given.passes))
            else:
                rows.append(walked(given.file, words))
            if given.json is not None:
                with given.json.open("a", encoding="utf-8") as file:
                    line = {"file": str(given.file), "variant": name, "seed": seed, **rows[-1]}
                    file.write(json.dumps(line) + "\n")
        show(name, rows)


if __name__ == "__main__":
    main()

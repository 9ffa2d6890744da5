"""SAPTS_D against its honest rival, the data-parallel trust region, in synchronisations.

    python examples/benchmarks/synchronisations.py poisson [--subdomains 4] [--seeds 0 1 2]
    python examples/benchmarks/synchronisations.py mnist   (needs DDOPT_DATA_ROOT or a download)

Both start from the same parameters on the same samples. The rival evaluates f and its gradient in N
shares and needs one synchronisation (a reduction of full vectors) per evaluation. SAPTS_D with the
recombination "best" needs one per outer iteration: the best end travels, with its gradient. Prints,
for each target, synchronisations and compute (full gradients on the longest path) of both, and
their ratios; Poisson-2D by the relative L2 error, MNIST-FC (10,000 images) by the training loss.
"""

import argparse
import math

import torch

from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.setup.component import lookup
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

TARGETS = {"poisson": (1e-2, 1e-3, 3e-4, 1e-4), "mnist": (0.3, 0.1, 0.03, 0.01)}
SOLVERS = {
    "poisson": TrustRegion.Config(),  # the default, a dense matrix here
    "mnist": TrustRegion.Config(hessian={"name": "lsr1", "memory": 10}),
}


def prepared(problem, seed):
    if problem == "poisson":
        task, dtype = lookup("problem", "poisson2d")(), torch.float64
    else:
        task, dtype = lookup("problem", "mnist")(train_samples=10_000), torch.float32
    task.prepare(Setting(seed=seed, dtype=dtype))
    return task


def crossings(task, problem, strategy, limit):
    """For each target, (synchronisations, compute) when it was first met; None where it was not."""
    strategy, solver = resolve(strategy, SOLVERS[problem])
    engine = Engine(strategy.parts(solver), Serial(), strategy.subdomains)
    compute = engine.start(task.problem, task.initial) / strategy.subdomains
    synchronisations, found = 1, {}
    rival = engine.parts.preconditioner is None
    while compute < limit and len(found) < len(TARGETS[problem]):
        report = engine.step(task.problem)
        compute += report.parallel
        synchronisations += 1 + report.global_accepted + report.global_rejected - rival
        if problem == "poisson":
            if rival and engine.iteration % 5:
                continue
            reached = task.measure(engine.point.theta)["error"]
        else:
            reached = report.loss
        for target in TARGETS[problem]:
            if reached <= target:
                found.setdefault(target, (synchronisations, compute))
    return [found.get(target) for target in TARGETS[problem]]


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=TARGETS)
    parser.add_argument("--subdomains", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=float, default=1500, help="largest compute of a run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.subdomains
    rivals, ours = [], []
    for seed in options.seeds:
        task = prepared(options.problem, seed)
        plain = lookup("strategy", "trust_region")(subdomains=count)
        decomposed = lookup("strategy", "sapts_d")(subdomains=count)
        rivals.append(crossings(task, options.problem, plain, options.limit / count))
        ours.append(crossings(task, options.problem, decomposed, options.limit))
        print(f"seed {seed}: rival {rivals[-1]}", f"sapts_d {ours[-1]}", sep="\n  ", flush=True)
    print(f"\n{options.problem}, N = {count}, geometric means over seeds {options.seeds}\n")
    print("| target | rival: synchronisations, compute | sapts_d | ratio of synchronisations |")
    print("|---|---|---|---|")
    for i, target in enumerate(TARGETS[options.problem]):
        a, b = [row[i] for row in rivals], [row[i] for row in ours]
        cells = [
            f"{mean([x[0] for x in c]):.0f}, {mean([x[1] for x in c]):.0f}" if all(c) else "not met"
            for c in (a, b)
        ]
        ratio = (
            f"{mean([y[0] / x[0] for x, y in zip(a, b, strict=True)]):.3f}" if all(a + b) else "-"
        )
        print(f"| {target:g} | {cells[0]} | {cells[1]} | {ratio} |")


if __name__ == "__main__":
    main()

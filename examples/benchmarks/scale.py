"""Cost and accuracy against the number of subdomains N, on fewer processes than subdomains.

    torchrun --nproc-per-node 2 examples/benchmarks/scale.py poisson2d
    torchrun --nproc-per-node 2 examples/benchmarks/scale.py mnist   (needs DDOPT_DATA_ROOT)

Every row runs the same number of outer iterations from the same parameters. SAPTS_D holds half of
the samples in each subdomain (its default), or 1/N of them ("disjoint"). SAPTS_P cannot have more
subdomains than the network has layers: it trains another network, of 64 narrow layers (Poisson-2D).
Evaluations are full gradients: per process, with a process for each subdomain, and total.
"""

import argparse

import torch

from ddopt.executor import shared
from ddopt.executor.launch import connect
from ddopt.method.engine import Engine
from ddopt.setup.component import lookup
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

SHALLOW = {"poisson2d": {}, "mnist": {"train_samples": 2_000, "hidden": [128, 64]}}
DEEP = {"poisson2d": {"width": 10, "depth": 63}}
MEMORY = {"poisson2d": 50, "mnist": 10}


def rows(problem, counts):
    """Network, strategy, its options, and N."""
    for count in counts:
        yield SHALLOW, "sapts_d", {}, count
    for count in counts[1:]:
        yield SHALLOW, "sapts_d", {"overlap": 0.0}, count
    for count in (2, 3) if problem == "mnist" else (2, 4, 8):
        yield SHALLOW, "sapts_p", {}, count
    for count in counts if problem in DEEP else ():
        yield DEEP, "sapts_p", {}, count


def train(task, problem, strategy, count, iterations, executor):
    """The row's numbers after so many outer iterations."""
    whole, shares = shared(task.problem, count, executor)
    solver = TrustRegion.Config(hessian={"name": "lsr1", "memory": MEMORY[problem]})
    engine = Engine(strategy.parts(solver), executor, shares)
    total = engine.start(whole, task.initial)
    parallel, accepted, sent = total / shares, 0, 0
    for _ in range(iterations):
        report = engine.step(whole)
        parallel, total = parallel + report.parallel, total + report.total
        accepted, sent = accepted + report.accepted, sent + report.bytes_sent
    merit = task.measure(engine.point.theta)
    return engine.point.value, merit, accepted, parallel, total, sent / 1e6 / iterations


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=SHALLOW)
    parser.add_argument("--subdomains", type=int, nargs="+", default=[4, 16, 32, 64])
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    problem = options.problem
    with connect() as executor:
        if executor.rank == 0:
            print(f"{problem}, {options.iterations} outer iterations, {executor.size} processes")
            print(
                "| method | N | loss | merit | accepted | per process | total | MB per iteration |"
            )
            print("|---|---|---|---|---|---|---|---|")
        for network, name, more, count in rows(problem, options.subdomains):
            task = lookup("problem", problem)(**network[problem])
            dtype = torch.float32 if problem == "mnist" else torch.float64
            task.prepare(Setting(seed=options.seed, dtype=dtype))
            strategy = lookup("strategy", name)(subdomains=count, **more)
            found = train(task, problem, strategy, count, options.iterations, executor)
            loss, merit, accepted, parallel, total, sent = found
            key, value = next(iter(merit.items()))
            label = name + ", disjoint" * bool(more) + ", 64 layers" * (network is DEEP)
            if executor.rank == 0:
                row = f"| {label} | {count} | {loss:.2e} | {key} {value:.3g} | {accepted} "
                print(f"{row}| {parallel:.0f} | {total:.0f} | {sent:.2f} |", flush=True)


if __name__ == "__main__":
    main()

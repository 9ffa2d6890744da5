"""Poisson-2D: the trust region, SAPTS and Gauss-Newton against L-BFGS, at equal evaluations.

    python examples/benchmarks/poisson.py [--seeds 0 1 2] [--evaluations 1000 2000]

Every method starts from the same network and sees the same points; one full gradient is one
evaluation. Prints the relative L2 error of each seed, the geometric mean, and the ratio to L-BFGS.
"""

import argparse
import math
import time

import torch

from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.setup.component import lookup
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

METHODS = {
    "trust_region": ("trust_region", {}, {}),
    "trust_region, L-SR1": ("trust_region", {}, {"hessian": "lsr1"}),
    "sapts_d, N = 2": ("sapts_d", {"subdomains": 2}, {}),
    "sapts_d, N = 4": ("sapts_d", {"subdomains": 4}, {}),
    "sapts_p, N = 4": ("sapts_p", {"subdomains": 4}, {}),
}


def lbfgs(task, budgets):
    """torch.optim.LBFGS, strong Wolfe, 100 pairs; the best point counts when a line search ends."""
    theta = task.initial.clone().requires_grad_()
    errors, calls = {}, 0

    def closure():
        nonlocal calls
        for budget in budgets:
            if calls >= budget and budget not in errors:
                errors[budget] = task.measure(theta.detach())["error"]
        calls += 1
        point = task.problem.at(theta.detach())
        theta.grad = point.gradient
        return torch.tensor(point.value)

    optimizer = torch.optim.LBFGS(
        [theta],
        max_iter=max(budgets),
        max_eval=max(budgets) + 1,
        history_size=100,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )
    while calls <= max(budgets):
        before = calls
        optimizer.step(closure)
        if calls == before + 1:  # the line search finds nothing better
            break
    last = task.measure(theta.detach())["error"]
    return [errors.get(budget, last) for budget in budgets]


def ddopt_errors(task, budgets, name, options, solver):
    """A strategy with default options, stopped at each budget of parallel evaluations."""
    strategy, chosen = resolve(lookup("strategy", name)(**options), TrustRegion.Config(**solver))
    engine = Engine(strategy.parts(chosen), Serial(), strategy.subdomains)
    spent = engine.start(task.problem, task.initial) / strategy.subdomains
    errors = []
    for budget in budgets:
        while spent < budget:
            report = engine.step(task.problem)
            spent += report.parallel
            if not (report.local_accepted + report.local_rejected) and not (
                report.global_accepted + report.global_rejected
            ):
                break
        errors.append(task.measure(engine.point.theta)["error"])
    return errors


def prepared(seed):
    task = lookup("problem", "poisson2d")()
    task.prepare(Setting(seed=seed))
    return task


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--only", nargs="*", help="methods to run, by the beginning of their name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    budgets = options.evaluations
    tasks = [prepared(seed) for seed in options.seeds]
    methods = {"L-BFGS": lambda task: lbfgs(task, budgets)}
    for label, (name, chosen, solver) in METHODS.items():
        methods[label] = lambda task, n=name, c=chosen, s=solver: ddopt_errors(
            task, budgets, n, c, s
        )
    reference = None
    print(f"| method | {' | '.join(f'after {b:,}' for b in budgets)} | times below L-BFGS | s |")
    print("|---" * (len(budgets) + 3) + "|")
    for label, solve in methods.items():
        if options.only and not any(label.startswith(name) for name in options.only):
            continue
        begin = time.perf_counter()
        rows = [solve(task) for task in tasks]
        seconds = (time.perf_counter() - begin) / len(rows)
        means = [geometric_mean(column) for column in zip(*rows, strict=True)]
        reference = reference or means
        cells = [
            f"{mean:.1e} ({', '.join(f'{row[i]:.1e}' for row in rows)})"
            for i, mean in enumerate(means)
        ]
        below = ", ".join(f"{r / m:.0f}" for r, m in zip(reference, means, strict=True))
        print(f"| {label} | {' | '.join(cells)} | {below} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()

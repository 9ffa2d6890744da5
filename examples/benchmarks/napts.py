"""NAPTS against APTS on the same seeds: rejected steps, and CPU seconds to the same loss.

    python examples/benchmarks/napts.py poisson2d [--seeds 0 1 2] [--subdomains 2]
    python examples/benchmarks/napts.py mnist     (needs DDOPT_DATA_ROOT or a download)

arXiv 2605.14860 claims for NAPTS a third of APTS's rejected steps and 0.7 of its time at the same
accuracy. Rows: layer-wise APTS (monotone, sum of the steps), the same with only the window of
NAPTS, with only its coarse space, NAPTS, and data-parallel APTS. All start from the same
parameters, see the full batch, and stop at the last target or at the limit of CPU seconds. A
rejected step is a recombined step that is not taken; a Hessian product is two evaluations, and
their graph one.
"""

import argparse
import math
import time
from dataclasses import dataclass

import torch

from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.setup.component import lookup
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

TARGETS = {
    "poisson2d": (1e-1, 1e-2, 1e-3, 1e-4),
    "allen_cahn_steady": (1e-2, 1e-3, 1e-4),
    "mnist": (3e-1, 1e-1, 3e-2, 1e-2),
}
MEMORY = {"mnist": 10}
METHODS = {
    "APTS (layers)": ("sapts_p", {}),
    "... and window": ("sapts_p", {"acceptance": "window"}),
    "... and coarse space": ("sapts_p", {"recombination": "coarse"}),
    "NAPTS (both)": ("napts", {}),
    "APTS (data)": ("apts", {}),
}


@dataclass
class Course:
    """What one run has spent, at its end and when it first met each target."""

    met: dict[float, tuple[float, float, int]]  # CPU seconds, evaluations, rejected steps
    outer: int = 0
    rejected: int = 0
    local: float = 0.0  # share of the local iterations that were rejected
    loss: float = math.nan
    seconds: float = 0.0


def prepared(problem, seed, samples):
    options = {"train_samples": samples} if problem == "mnist" else {}
    task = lookup("problem", problem)(**options)
    task.prepare(Setting(seed=seed, dtype=torch.float32 if options else torch.float64))
    return task


def run(task, problem, method, subdomains, limit):
    name, options = METHODS[method]
    solver = TrustRegion.Config(hessian={"name": "lsr1", "memory": MEMORY.get(problem, 100)})
    strategy = lookup("strategy", name)(subdomains=subdomains, **options)
    engine = Engine(strategy.parts(solver), Serial())
    began = time.process_time()
    spent = engine.start(task.problem, task.initial)
    course, local = Course({}), [0, 0]
    targets = TARGETS[problem]
    while course.seconds < limit and len(course.met) < len(targets):
        report = engine.step(task.problem)
        course.seconds, spent = time.process_time() - began, spent + report.total
        course.outer, course.loss = engine.iteration, report.loss
        course.rejected += not report.accepted
        local[0] += report.local_rejected
        local[1] += report.local_accepted + report.local_rejected
        for target in targets:
            if report.loss <= target:
                course.met.setdefault(target, (course.seconds, spent, course.rejected))
    course.local = local[0] / max(local[1], 1)
    return course


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def cell(courses, target):
    """To a target: rejected steps of all seeds, mean evaluations and mean CPU seconds."""
    met = [course.met[target] for course in courses if target in course.met]
    if len(met) < len(courses):
        return f"met by {len(met)} of {len(courses)}"
    seconds, evaluations, rejected = zip(*met, strict=True)
    return f"{sum(rejected)}, {mean(evaluations):.0f}, {mean(seconds):.1f} s"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem", choices=TARGETS)
    parser.add_argument("--subdomains", type=int, default=2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--limit", type=float, default=60.0, help="CPU seconds of a run")
    parser.add_argument("--samples", type=int, default=2_000, help="training images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {method: [] for method in METHODS}
    for seed in options.seeds:
        task = prepared(options.problem, seed, options.samples)
        for method, courses in rows.items():
            courses.append(run(task, options.problem, method, options.subdomains, options.limit))
            print(f"seed {seed} {method}: {courses[-1]}", flush=True)
    report(rows, TARGETS[options.problem])


def report(rows, targets):
    """The table; geometric means over the seeds."""
    heads = " | ".join(f"to {target:g}: rejected, evaluations, time" for target in targets)
    print(f"\n| method | rejected steps | of local | {heads} | last losses |")
    print("|---|---|---|" + "---|" * len(targets) + "---|")
    for method, courses in rows.items():
        rejected, outer = sum(c.rejected for c in courses), sum(c.outer for c in courses)
        local = sum(c.local for c in courses) / len(courses)
        ends = ", ".join(f"{c.loss:.1e}" for c in courses)
        reached = " | ".join(cell(courses, target) for target in targets)
        share = f"{rejected} of {outer} ({rejected / outer:.0%})"
        print(f"| {method} | {share} | {local:.0%} | {reached} | {ends} |")


if __name__ == "__main__":
    main()

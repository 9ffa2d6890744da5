"""Where a dense matrix should end and secant pairs begin: accuracy per second, not per evaluation.

    python examples/benchmarks/threshold.py [--widths 22 28] [--seeds 0 1 2] [--seconds 120]
    python examples/benchmarks/threshold.py --problem helmholtz2d --widths 41 52 --points 1000

The trust region with a dense matrix (``ssbroyden``) and with 100 pairs (``lsr1``), in turn, each
for so many seconds of processor time of one thread, closures and all, on a problem whose networks
have so many units a layer. Prints the relative L2 error at each mark, and in the end geometric
means over the seeds. Few points make the closure cheap, and the step dear beside it.
"""

import argparse
import json
import math
import time

import torch

import ddopt
from ddopt.setup.component import lookup
from ddopt.task import Setting

CURVATURES = {"dense": "ssbroyden", "pairs": "lsr1"}
SHARES = (0.125, 0.5, 1.0)  # of the seconds, at which the error is measured


def followed(options, width, seed, hessian):
    """The number of parameters; at each mark the error, and how many steps were taken."""
    task = lookup("problem", options.problem)(width=width, interior=options.points)
    task.prepare(Setting(seed=seed))
    theta = task.initial.clone().requires_grad_()

    def closure():
        point = task.problem.both(theta.detach().clone())
        theta.grad = point.gradient.clone()
        return torch.tensor(point.value, dtype=torch.float64)

    optimizer = ddopt.TrustRegion([theta], hessian=hessian, stochastic=False)
    marks, begin, steps = [], time.process_time(), 0
    for share in SHARES:
        while time.process_time() - begin < share * options.seconds:
            optimizer.step(closure)
            steps += 1
        marks.append((task.measure(theta.detach())["error"], steps))
    return len(theta), marks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="poisson2d", help="one that has a width")
    parser.add_argument("--widths", type=int, nargs="+", default=[22, 28])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--points", type=int, default=300, help="in the interior")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for width in options.widths:
        for seed in options.seeds:
            for name, hessian in CURVATURES.items():
                n, marks = followed(options, width, seed, hessian)
                found.setdefault((n, name), []).append(marks)
                row = {
                    "problem": options.problem,
                    "n": n,
                    "seed": seed,
                    "curvature": name,
                    "marks": marks,
                }
                print(json.dumps(row), flush=True)
    print(
        f"\n| n | curvature | {' | '.join(f'{s * options.seconds:g} s' for s in SHARES)} | steps |"
    )
    print("|---|---|" + "---|" * (len(SHARES) + 1))
    for (n, name), runs in found.items():
        means = [
            math.exp(sum(math.log(marks[i][0]) for marks in runs) / len(runs))
            for i in range(len(SHARES))
        ]
        steps = sum(marks[-1][1] for marks in runs) / len(runs)
        print(f"| {n:,} | {name} | {' | '.join(f'{m:.1e}' for m in means)} | {steps:.0f} |")


if __name__ == "__main__":
    main()

"""What a Jacobian costs beside a gradient, in each of the ways it can be computed.

    python examples/benchmarks/jacobian.py

Prints processor milliseconds of one thread, the best of five.
"""

import time
from importlib import import_module

import torch

from ddopt.task import Setting
from ddopt_pinn import PROBLEMS
from ddopt_pinn.differentiation import per_point

SIZES = {
    "poisson2d": {"interior": 1000, "width": 20, "depth": 8},
    "burgers": {"interior": 4000, "width": 20, "depth": 4},
    "helmholtz2d": {"interior": 1600, "width": 40, "depth": 3},
    "poisson3d": {"interior": 2000, "width": 20, "depth": 4},
}


def milliseconds(call, repetitions=5):
    call()
    best = float("inf")
    for _ in range(repetitions):
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return 1e3 * best


def main():
    torch.set_num_threads(1)
    print("| problem | m × n | value and gradient | propagated | in float32 | per point |")
    print("|---|---|---|---|---|---|")
    for name, options in SIZES.items():
        module, _, found = PROBLEMS[name].partition(":")
        task = getattr(import_module(module), found)(**options)
        task.prepare(Setting(seed=0, dtype=torch.float64))
        f, theta = task.problem, task.initial
        shape = " × ".join(map(str, f.jacobian(theta).shape))
        assert f.differentiation.way == "propagated"
        columns = [
            milliseconds(lambda f=f, theta=theta: f.both(theta).gradient),
            milliseconds(lambda f=f, theta=theta: f.jacobian(theta)),
            milliseconds(lambda f=f, theta=theta: f.jacobian(theta, torch.float32)),
            milliseconds(lambda f=f, theta=theta: per_point(f, theta)),
        ]
        print(f"| {name} | {shape} | " + " | ".join(f"{one:.0f}" for one in columns) + " |")


if __name__ == "__main__":
    main()

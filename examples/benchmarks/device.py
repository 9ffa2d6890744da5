"""A GPU against the CPU: the same numbers to round-off, and how much faster.

    python examples/benchmarks/device.py [--device cuda] [--iterations 10]

Every strategy trains Poisson-2D (float64) and a perceptron on random images (float32) from the same
parameters on both devices. Prints the largest relative difference of the losses of all iterations,
and the seconds of each; then the seconds of one gradient of the networks that want a GPU, in
float32 and under autocast to bfloat16. A difference that grows from round-off to per cents within
some iterations is what a trust region does with a rejected step; a large one in the first three
iterations is a defect, and ends the script with 1.
"""

import argparse
import sys
import time

import torch

from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.setup.component import lookup
from ddopt.setup.resolved import resolve
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

STRATEGIES = {
    "trust_region": {},
    "sapts_d": {"subdomains": 3},
    "sapts_p": {"subdomains": 3},
    "sapts_ip": {"subdomains": 3},
    "hybrid": {"parts": 2, "groups": 2},
    "napts": {"subdomains": 3},
    "sapts_m": {"subdomains": 2},
}
PROBLEMS = {
    "poisson2d": ({}, torch.float64, 1e-6),
    "mnist": ({"train_samples": 2_000}, torch.float32, 1e-2),
}
TIMED = {
    "cifar10": {"network": "resnet18", "train_samples": 500},
    "shakespeare": {"layers": 6, "heads": 6, "width": 192},
}


def losses(problem, strategy, device, iterations):
    """The loss after every iteration, and the seconds."""
    options, dtype, _ = PROBLEMS[problem]
    task = lookup("problem", problem)(**options)
    task.prepare(Setting(seed=0, dtype=dtype, device=torch.device(device)))
    made = lookup("strategy", strategy)(**STRATEGIES[strategy])
    method, solver = resolve(made, TrustRegion.Config())
    f, theta = method.place(task, Serial())
    engine = Engine(method.parts(solver), Serial(), method.shares)
    engine.start(f, theta)
    begin = time.perf_counter()
    found = [engine.step(f).loss for _ in range(iterations)]
    return found, time.perf_counter() - begin


def compare(device, iterations):
    """A row for each strategy and problem; whether all agree at first."""
    sound = True
    print(
        f"{'problem':<12} {'strategy':<14} {'difference':>10} {'first 3':>8} {'cpu s':>7} {device}"
    )
    for problem, (_, _, tolerance) in PROBLEMS.items():
        for strategy in STRATEGIES:
            if (problem, strategy) == ("poisson2d", "sapts_m"):
                continue  # walks are for many samples
            here, seconds = losses(problem, strategy, "cpu", iterations)
            there, other = losses(problem, strategy, device, iterations)
            apart = [abs(a - b) / abs(a) for a, b in zip(here, there, strict=True)]
            sound = sound and max(apart[:3]) <= tolerance
            shown = f"{max(apart):10.1e} {max(apart[:3]):8.1e} {seconds:7.2f} {other:5.2f}"
            print(f"{problem:<12} {strategy:<14} {shown}", flush=True)
    return sound


def gradients(device, repeats):
    """Seconds of one gradient over 500 samples."""
    for problem, options in TIMED.items():
        task = lookup("problem", problem)(**options)
        task.prepare(Setting(seed=0, dtype=torch.float32, device=torch.device(device)))
        f = task.problem.part(Samples((torch.arange(500),)))
        for cast in (False, True):
            with torch.autocast(device, dtype=torch.bfloat16, enabled=cast):
                float(f.both(task.initial).value)  # warms up
                begin = time.perf_counter()
                for _ in range(repeats):
                    value = float(f.both(task.initial).value)
                seconds = (time.perf_counter() - begin) / repeats
            kind = "bfloat16" if cast else "float32"
            print(f"{problem:<12} {kind:<9} {seconds:8.3f} s  f = {value:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="of the timed gradients")
    given = parser.parse_args()
    sound = compare(given.device, given.iterations)
    gradients(given.device, given.repeats)
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()

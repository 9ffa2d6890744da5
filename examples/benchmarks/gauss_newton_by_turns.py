"""Several solvers by turns in one process: the error by processor seconds, on the same machine.

    python examples/benchmarks/gauss_newton_by_turns.py --problem burgers --seed 0 --seconds 20

The next iteration is always that of the run that has spent least, so that whatever slows the
machine down slows all of them down. Problems are those of ``gauss_newton_problems.py``.
"""

import argparse
import time

import torch
from gauss_newton import warm_up
from gauss_newton_problems import PROBLEMS, made

from ddopt_pinn.library import load

MARKS = (1, 2, 3, 5, 8, 10, 12, 15, 20, 30, 60, 120)


class Turn:
    """A run, what it has spent, and its error at the marks that it has reached."""

    def __init__(self, name, solver, seed):
        start = time.process_time()
        self.run = made(name, solver, seed)
        self.spent, self.errors = time.process_time() - start, {}

    def step(self, marks):
        start = time.process_time()
        self.run.step()
        self.spent += time.process_time() - start
        reached = [mark for mark in marks if mark <= self.spent and mark not in self.errors]
        if reached:
            self.errors |= dict.fromkeys(reached, self.run.error())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--problem", nargs="+", choices=PROBLEMS, required=True)
    parser.add_argument(
        "--solver",
        nargs="+",
        default=["trust_region", "levenberg_marquardt", "least_squares"],
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=20.0, help="processor seconds of each run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load()
    warm_up()
    marks = [mark for mark in MARKS if mark <= options.seconds]
    print("|", " | ".join(["problem", "solver", *(f"{mark} s" for mark in marks)]), "|")
    print("|" + "---|" * (2 + len(marks)))
    for name in options.problem:
        turns = {solver: Turn(name, solver, options.seed) for solver in options.solver}
        while (next_one := min(turns.values(), key=lambda one: one.spent)).spent < marks[-1]:
            next_one.step(marks)
        for solver, one in turns.items():
            shown = [f"{one.errors[mark]:.1e}" for mark in marks]
            print("|", " | ".join([name, solver, *shown]), "|", flush=True)


if __name__ == "__main__":
    main()

"""What a Gauss-Newton step takes with a Jacobian and without: where one becomes the cheaper way.

    python examples/benchmarks/factorisation.py --sizes 20,1000 20,4000 40,4000

Burgers' equation with conditions built in, four hidden layers: for each WIDTH,POINTS the processor
seconds of one thread, best of three, of value and gradient, Jacobian, Gram matrix of the smaller
side and its Cholesky factorisation, and of a product with J and one with its transpose.
"""

import argparse
import time

import torch

from ddopt.hessian.normal_equations import NormalEquations
from ddopt.setup.component import lookup
from ddopt.solver.work import factorisation
from ddopt.task import Setting, prepare


def best(function, repeats=3):
    """The shortest processor time of a call, and what it returned."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        found = function()
        times.append(time.process_time() - start)
    return min(times), found


def row(width, points):
    """One size, a row of the table: milliseconds, and factorisations in evaluations."""
    task = lookup("problem", "burgers")(interior=points, exact=True, width=width, depth=4)
    prepare(task, Setting(seed=0, dtype=torch.float64))
    f, theta = task.problem, task.initial
    evaluation, point = best(lambda: f.both(theta))
    f.jacobian(theta)  # finds out how
    cells = [evaluation]
    for dtype in (torch.float32, torch.float64):
        spent, J = best(lambda dtype=dtype: f.linearised(theta, dtype))
        gram, equations = best(lambda J=J: NormalEquations(J))
        cells.append(spent)
        cells.append(gram + best(lambda e=equations: e.damped(e.scale * 1e-3), 1)[0])
    _, (product, pullback) = best(lambda: f.differential(theta), 1)
    product(point.gradient)
    cells.append(best(lambda: product(point.gradient))[0])
    cells.append(best(lambda: pullback(f.residuals(theta)))[0])
    m, n = J.shape
    counted = f"{cells[4] / evaluation:.1f} | {factorisation(m, n):.1f}"
    return f"| {m:,} × {n:,} | " + " | ".join(f"{1e3 * c:.0f}" for c in cells) + f" | {counted} |"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", nargs="+", default=["20,1000", "20,4000", "40,2000", "40,4000"])
    torch.set_num_threads(1)
    print(
        "| m × n | evaluation | J 32 | factor 32 | J 64 | factor 64 | Jv | Jᵀw | in ev. | counted |"
    )
    print("|" + "---|" * 10)
    for size in parser.parse_args().sizes:
        print(row(*map(int, size.split(","))), flush=True)


if __name__ == "__main__":
    main()

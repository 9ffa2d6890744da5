"""Classical test problems: evaluations until the gradient is small, as a performance profile.

    python examples/benchmarks/classical.py [--figure docs/images/classical.png]

Every solver begins at the problem's start, sees f and ∇f together, and has 1,000 such evaluations
to visit a point with ‖∇f‖∞ <= 1e-5. Prints the evaluations of each on each problem, and for
τ = 1, 2, ... the share of problems on which a solver takes at most τ times the evaluations of the
best one (Dolan and Moré, Math. Program. 91, 2002). ``trust-exact`` also sees the Hessian, which is
not counted: it stands there as a bound, and is not among those of which the best is taken. SciPy's
solvers have their defaults, but no tolerances of their own; ``torch.optim.LBFGS`` has its strong
Wolfe line search.
"""

import argparse
import contextlib
import math
from pathlib import Path

import numpy as np
import scipy.optimize
import torch
from classical_problems import Classical, problems

import ddopt

TOLERANCE, BUDGET = 1e-5, 1000
BOUND = "trust-exact (SciPy)"  # sees the Hessian, too
TAUS = (1.0, 1.5, 2.0, 4.0, 8.0, 16.0)


class EnoughError(Exception):
    """A solver is there, or its budget is spent."""


class Counted:
    """f and ∇f with a count; remembers at which one the gradient was small."""

    def __init__(self, problem: Classical, budget: int) -> None:
        self.problem, self.budget = problem, budget
        self.spent, self.solved = 0, math.inf

    def __call__(self, x):
        """f and ∇f at ``x``; raises ``EnoughError`` when nothing more is to be seen."""
        if self.spent >= self.budget:
            raise EnoughError
        self.spent += 1
        value, gradient = self.problem.value_and_gradient(x)
        if float(gradient.abs().max()) <= TOLERANCE:
            self.solved = self.spent
            raise EnoughError
        return value, gradient


def scipy_solver(method, **options):
    """A solver of SciPy, which is to go on as long as it finds a decrease."""

    def solve(f):
        def both(x):
            value, gradient = f(torch.from_numpy(x))
            return value, gradient.numpy()

        def hessian(x):
            return f.problem.hessian(torch.from_numpy(x)).numpy()

        extra = {"hess": hessian} if method == "trust-exact" else {}
        start = f.problem.start.numpy().copy()
        with np.errstate(all="ignore"):
            scipy.optimize.minimize(both, start, jac=True, method=method, options=options, **extra)

    return solve


def torch_solver(make):
    """An optimizer with a closure, stepping until it no longer calls it."""

    def solve(f):
        x = f.problem.start.clone().requires_grad_()
        optimizer = make(x)

        def closure():
            value, gradient = f(x.detach())
            x.grad = gradient
            return torch.tensor(value, dtype=torch.float64)

        idle = 0
        while idle < 10:
            before = f.spent
            optimizer.step(closure)
            idle = idle + 1 if f.spent == before else 0

    return solve


def lbfgs(x):
    """torch's, with nothing but its budget to stop it."""
    return torch.optim.LBFGS(
        [x],
        max_iter=BUDGET,
        max_eval=BUDGET + 1,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


SOLVERS = {
    "ddopt.TrustRegion": torch_solver(lambda x: ddopt.TrustRegion([x])),
    "BFGS (SciPy)": scipy_solver("BFGS", gtol=0.0, maxiter=BUDGET),
    "L-BFGS-B (SciPy)": scipy_solver(
        "L-BFGS-B", ftol=0.0, gtol=0.0, maxfun=2 * BUDGET, maxiter=BUDGET
    ),
    "L-BFGS (torch)": torch_solver(lbfgs),
    BOUND: scipy_solver("trust-exact", gtol=0.0, maxiter=BUDGET),
}


def evaluations(problem: Classical, solve) -> float:
    """How many evaluations ``solve`` needs; infinite where it does not get there."""
    f = Counted(problem, BUDGET)
    with contextlib.suppress(EnoughError, np.linalg.LinAlgError):  # numbers beyond the solver
        solve(f)
    return f.solved


def profile(table: dict[str, dict[str, float]], solver: str, taus) -> list[float]:
    """Shares of the problems on which the solver takes at most τ times the best one's count.

    The best one is the best of those that see gradients alone.
    """
    shares = []
    for tau in taus:
        good = 0
        for row in table.values():
            best = min(count for name, count in row.items() if name != BOUND)
            good += row[solver] < math.inf and row[solver] <= tau * best
        shares.append(good / len(table))
    return shares


def draw(table, path: Path) -> None:
    """The profile of every solver, as steps over log τ."""
    from ddopt import figures, palette

    styles = (
        *(palette.SOLID, palette.DASHED, palette.DOTTED),
        *(palette.LONG_DASHED, palette.DOT_DASHED),
    )
    looks = zip(palette.COLOURS[: len(styles)], styles, strict=True)
    taus = np.geomspace(1.0, 16.0, 400)
    made = figures.figure(7.0, 3.8)
    axes = made.subplots()
    for name, (colour, style) in zip(SOLVERS, looks, strict=True):
        own = name.startswith("ddopt")
        axes.step(
            taus,
            profile(table, name, taus),
            where="post",
            color=colour,
            linewidth=2.4 if own else 1.4,
            linestyle=style,
            zorder=3 if own else 2,
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    axes.set_xlim(1.0, 16.0)
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("evaluations, as a multiple of the best solver's")
    axes.set_ylabel("share of the problems")
    axes.grid(color=palette.FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    figures.save(made, path)


def show(table) -> None:
    """Both tables, in Markdown."""
    print(f"| problem | {' | '.join(SOLVERS)} |")
    print("|---" * (len(SOLVERS) + 1) + "|")
    for name, row in table.items():
        cells = [f"{count:.0f}" if count < math.inf else "–" for count in row.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    print(f"| solver | solved | {' | '.join(f'τ = {tau:g}' for tau in TAUS)} |")
    print("|---" * (len(TAUS) + 2) + "|")
    for name in SOLVERS:
        solved = sum(row[name] < math.inf for row in table.values())
        shares = " | ".join(f"{100 * share:.0f} %" for share in profile(table, name, TAUS))
        print(f"| {name} | {solved} of {len(table)} | {shares} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, help="where to write the profile as PNG")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = {
        problem.name: {name: evaluations(problem, solve) for name, solve in SOLVERS.items()}
        for problem in problems()
    }
    show(table)
    if options.figure:
        draw(table, options.figure)


if __name__ == "__main__":
    main()

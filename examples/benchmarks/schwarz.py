"""Two-level Schwarz on regions: iterations and time as patches grow, two processes, what travels.

    OMP_NUM_THREADS=1 python examples/benchmarks/schwarz.py                 # more and more patches
    OMP_NUM_THREADS=1 python examples/benchmarks/schwarz.py --processes 2   # against one process

Poisson's equation with frequencies that grow with the grid, so that every patch sees the same
waves. Prints processor seconds of the busiest process, and counted bytes.
"""

import argparse
import math
import time

import torch

from ddopt.executor import Serial
from ddopt.testing.ranks import run_ranks
from ddopt_patches import quadrature
from ddopt_patches.block import Block
from ddopt_patches.coarse import Polynomials
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.problem import PatchProblem
from ddopt_patches.regions import Border
from ddopt_patches.rows import Rows
from ddopt_patches.schwarz import Options, Schwarz
from ddopt_patches.system import System
from ddopt_pinn import dde

FEATURES = 64
TARGET = 1e-4
POINTS = 4_000  # random points at which errors are taken


def frequencies(nodes):
    return [scale * (nodes - 1) / 8 for scale in (2.0, 4.0, 8.0)]


def exact(x, omegas):
    return sum(torch.sin(w * math.pi * x).prod(-1) for w in omegas) / len(omegas)


def system(nodes, seed):
    omegas = frequencies(nodes)
    grid = Grid.uniform([(0, 1), (0, 1)], (nodes - 1, nodes - 1))
    patches = Patches.random(grid, FEATURES, 1, 1.5, seed)
    count = quadrature.points_an_axis(patches, 1, 2.0)
    points = quadrature.interior(grid, count)

    def equation(x, u):
        laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        terms = [2 * (w * math.pi) ** 2 * torch.sin(w * math.pi * x).prod(-1) for w in omegas]
        return -laplacian - sum(terms)[:, None] / len(omegas)

    rows = [Rows(patches, points, Equation(equation, 2, 1, points.x))]
    value = Equation(lambda x, u: u, 2, 1, points.x)
    for axis in (0, 1):
        for upper in (False, True):
            face = quadrature.face(grid, axis, upper, count)
            rows.append(Rows(patches, face, value, 100.0))
    return System(patches, rows)


def error(patches, weights, nodes):
    net = FBPINN(patches)
    net.weights.data.copy_(weights.view_as(net.weights))
    x = torch.rand(POINTS, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        wanted = exact(x, frequencies(nodes))
        return float((net(x)[:, 0] - wanted).norm() / wanted.norm())


def solved(executor, nodes, regions, seed, tolerance, degree, watched):
    """Linearise, factorise, iterate: (seconds of this process, iterations, error, bytes)."""
    made = system(nodes, seed)
    problem = PatchProblem(made)
    border = Border(problem.own_share(0, regions).regions, executor)
    pieces = {d.index: problem.own_share(d.index, regions) for d in border.owned}
    theta = torch.zeros(problem.layout.size, dtype=torch.float64)
    begun = time.process_time()
    rows, cells = {}, {}
    for d in border.owned:
        residuals, blocks = pieces[d.index].by_cells(theta)
        rows[d.index] = residuals, [Block(d.local(b.patches), b.by_corner) for b in blocks]
        cells[d.index] = [one.points.cells for one in pieces[d.index].system.rows]
    step = Schwarz(made.patches, border, rows, cells, Options(coarse=Polynomials(degree=degree)))
    reached, looking = [], [0.0]

    def watch(iteration, y):
        start = time.process_time()
        if not reached and error(made.patches, step.from_basis(y), nodes) < TARGET:
            reached.append(iteration)
        looking[0] += time.process_time() - start

    before = executor.bytes_sent
    y = step.solve(tolerance, watch if watched else None)
    sent = (executor.bytes_sent - before) / (step.iterations + 1)
    spent = time.process_time() - begun - looking[0]
    found = error(made.patches, step.from_basis(y), nodes)
    share = sent / (8 * problem.layout.size)
    return spent, reached[0] if reached else None, step.iterations, found, share, y_sum(step, y)


def y_sum(step, y):
    return float(step.from_basis(y).sum())


def grids(seeds):
    print("| patches | regions | iterations to 1e-4 | ms for each patch | error at the end |")
    print("|---|---|---|---|---|")
    for nodes in (5, 9, 17, 33):
        for regions in (1, 4):
            runs = [solved(Serial(), nodes, regions, s, 1e-6, 2, True) for s in seeds]
            middle = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
            reached = [run[1] for run in runs]
            print(
                f"| {nodes**2} | {regions} | {', '.join(map(str, reached))} | "
                f"{1e3 * middle[0] / nodes**2:.1f} | {middle[3]:.1e} |",
                flush=True,
            )


def processes(size, seeds):
    print(
        "| degree | seed | one process, s | busiest of several, s | ratio | same bits | a vector |"
    )
    print("|---|---|---|---|---|---|---|")
    for degree in (1, 2):
        for seed in seeds:
            arguments = (17, size, seed, 1e-5, degree, False)
            alone = solved(Serial(), *arguments)
            several = run_ranks(solved, size, *arguments, timeout=600.0, start="spawn")
            busiest = max(run[0] for run in several)
            same = all(run[5] == alone[5] and run[3] == alone[3] for run in several)
            print(
                f"| {degree} | {seed} | {alone[0]:.2f} | {busiest:.2f} | "
                f"{alone[0] / busiest:.2f} | {same} | {100 * several[0][4]:.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.processes:
        processes(options.processes, options.seeds)
    else:
        grids(options.seeds)

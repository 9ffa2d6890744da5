"""Errors by the weight of penalised conditions, and by the one that is chosen; for docs/patches.md.

    OMP_NUM_THREADS=1 python examples/benchmarks/condition_weights.py [name ...]

Small grids, so that a table takes a minute or two. Errors are relative L2 errors.
"""

import argparse
import math

import numpy as np
import torch
from patches import cole_hopf, d, dd, everywhere, interval_in_time, mesh, uniform

from ddopt_patches import newton, quadrature
from ddopt_patches.along import Along
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.rows import Rows
from ddopt_patches.statement import Statement
from ddopt_patches.system import System
from ddopt_patches.weights import balanced
from ddopt_pinn.library import building, dde

PI = math.pi
WEIGHTS = (1.0, 10.0, 100.0, 1e3, 1e4, None)
SQUARE = ((0, 1), (0, 1))


def zero(x):
    return np.zeros((len(x), 1))


def stated(statement, patches, exact, points):
    """A case on a box: a weight -> the system, and what it is measured against."""
    start = statement.start(patches)
    return lambda weight: statement.system(patches, 2.0, weight), start, patches, exact, points


def multiscale():
    square = dde.geometry.Rectangle([0, 0], [1, 1])

    def equation(x, u):
        terms = [2 * (w * PI) ** 2 * torch.sin(w * PI * x).prod(1) for w in (2, 4, 8)]
        return -dd(u, x, 0) - dd(u, x, 1) - sum(terms)[:, None] / 3

    points = mesh((0, 1, 101), (0, 1, 101))
    exact = sum(torch.sin(w * PI * points).prod(1) for w in (2, 4, 8))[:, None] / 3
    statement = Statement(square, equation, [dde.icbc.DirichletBC(square, zero, everywhere)])
    patches = Patches.random(Grid(uniform(SQUARE, (8, 8))), 36, scale=1.2)
    return stated(statement, patches, exact, points)


def wave():
    domain = interval_in_time(0, 1, 0, 1)
    points = mesh((0, 1, 101), (0, 1, 101))
    a = torch.cos(2 * PI * points[:, 1:]) * torch.sin(PI * points[:, :1])
    exact = a + 0.5 * torch.cos(8 * PI * points[:, 1:]) * torch.sin(4 * PI * points[:, :1])

    def first(x):
        return np.sin(PI * x[:, :1]) + 0.5 * np.sin(4 * PI * x[:, :1])

    conditions = [
        dde.icbc.DirichletBC(domain, zero, everywhere),
        dde.icbc.IC(domain, first, everywhere),
        dde.icbc.OperatorBC(
            domain, lambda x, u, _: d(u, x, 1), lambda x, on: np.isclose(x[1], 0.0)
        ),
    ]
    statement = Statement(domain, lambda x, u: dd(u, x, 1) - 4 * dd(u, x, 0), conditions)
    patches = Patches.random(Grid(uniform(SQUARE, (8, 8))), 49, scale=0.7)
    return stated(statement, patches, exact, points)


def burgers():
    domain = interval_in_time(-1, 1, 0, 0.25)
    conditions = [
        dde.icbc.DirichletBC(domain, zero, everywhere),
        dde.icbc.IC(domain, lambda x: -np.sin(PI * x[:, :1]), everywhere),
    ]

    def equation(x, u):
        return d(u, x, 1) + u * d(u, x, 0) - 0.01 / PI * dd(u, x, 0)

    points = mesh((-1, 1, 129), (0, 0.25, 26))
    nodes = Along(cells=20, toward=0.0, strength=5.0).between(-1.0, 1.0)
    patches = Patches.random(Grid([nodes, torch.linspace(0, 0.25, 4).double()]), 36)
    statement = Statement(domain, equation, conditions)
    return stated(statement, patches, cole_hopf(points), points)


def cut(nodes, features, inside, boundary, exact, source):
    """−Δu = f in a part of a square, values of the solution at points of its boundary."""
    grid = Grid([nodes, nodes])
    patches = Patches.random(grid, features)
    x, roots = boundary
    interior = quadrature.interior(grid, math.ceil((2.0 * features) ** 0.5) + 3)
    interior = interior.where(inside(interior.x))
    poisson = Equation(
        lambda x, u: -dd(u, x, 0) - dd(u, x, 1) - source(x), 2, 1, interior.x.flatten(0, 1)
    )
    value = Equation(lambda x, u: u - exact(x), 2, 1, x)
    equation = Rows(patches, interior, poisson)
    conditions = [Rows(patches, quadrature.scattered(grid, x, roots), value)]
    start = torch.zeros(grid.patches, 1, features, dtype=torch.float64)

    def system(weight):
        if weight is None:
            return System(patches, [equation, *balanced([equation], conditions, start)])
        return System(patches, [equation, *(rows.scaled(weight) for rows in conditions)])

    points = mesh((-1, 1, 201), (-1, 1, 201))
    points = points[inside(points)]
    return system, start, patches, exact(points), points


def disk():
    """A disk with a hole, cells cut by the circles."""
    n = 800
    t = 2 * PI * (torch.arange(n, dtype=torch.float64) + 0.5) / n
    circle = torch.stack([t.cos(), t.sin()], 1)
    lengths = torch.cat([torch.full((n,), r * 2 * PI / n, dtype=torch.float64) for r in (1, 0.3)])
    return cut(
        torch.linspace(-1, 1, 13, dtype=torch.float64),
        36,
        lambda x: (x.norm(dim=-1) < 1) & (x.norm(dim=-1) > 0.3),
        (torch.cat([circle * (1 - 1e-12), 0.3 * circle]), lengths.sqrt()),
        lambda x: torch.sin(PI * x[:, :1]) * torch.cos(2 * PI * x[:, 1:]) + x[:, :1] ** 2,
        lambda x: 5 * PI**2 * torch.sin(PI * x[:, :1]) * torch.cos(2 * PI * x[:, 1:]) - 2,
    )


def corner(x):
    """r^(2/3) sin(2φ/3) about the corner of an L."""
    angle = torch.atan2(x[..., 1], x[..., 0])
    angle = torch.where(angle < -1e-12, angle + 2 * PI, angle)
    return (x.norm(dim=-1) ** (2 / 3) * torch.sin(2 / 3 * angle))[..., None]


def l_shape():
    """An L, nodes graded to its corner, points of the sides through the corner too."""
    n = 600
    s = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    t, long = s**3, (torch.arange(2 * n, dtype=torch.float64) + 0.5) / n - 1
    zeros, ones, wide = 0 * t, 0 * t + 1, 0 * long + 1
    sides = [
        (t, zeros + 1e-13, 3 * s**2 / n),
        (zeros, -t, 3 * s**2 / n),
        (-wide, long, wide / n),
        (long, wide, wide / n),
        (ones, t, 3 * s**2 / n),
        (-t, -ones, 3 * s**2 / n),
    ]
    boundary = torch.cat([torch.stack([x, y], 1) for x, y, _ in sides])
    roots = torch.cat([lengths for *_, lengths in sides]).sqrt()

    def inside(x):
        return ~((x[..., 0] > 0) & (x[..., 1] < 0)) & (x.abs() < 1).all(-1)

    nodes = Along(cells=16, toward=0.0, strength=5.0).between(-1.0, 1.0)
    return cut(nodes, 25, inside, (boundary, roots), corner, lambda x: 0 * x[:, :1])


CASES = {
    "multiscale 2, 4, 8; 9² patches of 36": multiscale,
    "wave; 9² patches of 49": wave,
    "burgers until t = 0.25; 21 × 4 graded patches of 36": burgers,
    "poisson on a disk with a hole; 13² patches of 36": disk,
    "poisson on an L-shape; 17² graded patches of 25": l_shape,
}


def error(weight, system, start, patches, exact, points):
    posed = system(weight)
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(newton.solve(posed, start, steps=8).weights)
    chosen = sorted({round(rows.weight) for rows in posed.rows[1:]})
    return float((net(points) - exact).norm() / exact.norm()), (chosen[0], chosen[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="beginnings of the cases; all by default")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    print("| problem | 1 | 10 | 100 | 1,000 | 10,000 | chosen | which |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name, case in CASES.items():
        if names and not any(name.startswith(one) for one in names):
            continue
        with building(0, torch.float64):
            posed = case()
            found = [error(weight, *posed) for weight in WEIGHTS]
        errors = " | ".join(f"{one:.1e}" for one, _ in found)
        print(f"| {name} | {errors} | {found[-1][1][0]} to {found[-1][1][1]} |", flush=True)


if __name__ == "__main__":
    main()

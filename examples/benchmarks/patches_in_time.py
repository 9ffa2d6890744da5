"""Patches in time slabs, given nodes or finding them: digits and processor seconds.

    OMP_NUM_THREADS=1 python examples/benchmarks/patches_in_time.py [name ...] [--seeds 3]

With ``--out FILE`` every run is appended to a file, and none is repeated (``cases``).

The problems are tasks as a run file has them, solved slab by slab and grid by grid as a run does,
with the weights of conditions that the method chooses. Times are of the process, one thread, set-up
and refinement included, imports and the measurement of errors left out. "found" begins with equal
cells and is told no place where cells are to be small.
"""

import math
from functools import partial

import cases
import numpy as np
import torch
from patches import Clock, cole_hopf, d, dd, everywhere, interval_in_time, mesh, phases

from ddopt.task import Setting
from ddopt_patches import newton
from ddopt_patches.task import PatchTask
from ddopt_pinn.library import building, dde
from ddopt_pinn.task import PDETask

PI = math.pi
VISCOSITY = 0.01 / PI


def zero(x):
    return np.zeros((len(x), 1))


class Shock(PDETask):
    """Burgers' equation from −sin πx, ν = 0.01/π, until t = 1."""

    name = "shock"
    axes = ("x", "t")

    def geometry(self):
        return interval_in_time(-1, 1, 0, 1)

    def equation(self, x, u, *_):
        return d(u, x, 1) + u * d(u, x, 0) - VISCOSITY * dd(u, x, 0)

    def conditions(self, geometry):
        first = dde.icbc.IC(geometry, lambda x: -np.sin(PI * x[:, :1]), everywhere)
        return [dde.icbc.DirichletBC(geometry, zero, everywhere), first]

    @staticmethod
    def exact():
        points = mesh((-1, 1, 257), (0, 1, 101))
        return points, cole_hopf(points)


class Phases(PDETask):
    """Allen-Cahn with ε² = 1e-4 and a periodic x."""

    name = "phases"
    axes = ("x", "t")

    def geometry(self):
        return interval_in_time(-1, 1, 0, 1)

    def equation(self, x, u, *_):
        return d(u, x, 1) - 1e-4 * dd(u, x, 0) - 5 * (u - u**3)

    def conditions(self, geometry):
        values = dde.icbc.IC(geometry, lambda x: x[:, :1] ** 2 * np.cos(PI * x[:, :1]), everywhere)
        return [dde.icbc.PeriodicBC(geometry, 0, everywhere), values]

    @staticmethod
    def exact():
        return phases()


class Wave(PDETask):
    """u_tt = 4 u_xx with two modes."""

    name = "string"
    axes = ("x", "t")

    def geometry(self):
        return interval_in_time(0, 1, 0, 1)

    def equation(self, x, u, *_):
        return dd(u, x, 1) - 4 * dd(u, x, 0)

    def conditions(self, geometry):
        def values(x):
            return np.sin(PI * x[:, :1]) + 0.5 * np.sin(4 * PI * x[:, :1])

        def at_rest(x, _):
            return np.isclose(x[1], 0.0)

        return [
            dde.icbc.DirichletBC(geometry, zero, everywhere),
            dde.icbc.IC(geometry, values, everywhere),
            dde.icbc.OperatorBC(geometry, lambda x, u, _: d(u, x, 1), at_rest),
        ]

    @staticmethod
    def exact():
        x = mesh((0, 1, 151), (0, 1, 151))
        a = torch.cos(2 * PI * x[:, 1:]) * torch.sin(PI * x[:, :1])
        return x, a + 0.5 * torch.cos(8 * PI * x[:, 1:]) * torch.sin(4 * PI * x[:, :1])


def soliton(x):
    return 2 / np.cosh(x[:, :1] - 4 * x[:, 1:] + 2) ** 2


class Soliton(PDETask):
    """Korteweg-de Vries: a soliton of speed 4 on (−8, 8)."""

    name = "soliton"
    axes = ("x", "t")

    def geometry(self):
        return interval_in_time(-8, 8, 0, 1)

    def equation(self, x, u, *_):
        return d(u, x, 1) + 6 * u * d(u, x, 0) + dde.grad.jacobian(dd(u, x, 0), x, i=0, j=0)

    def conditions(self, geometry):
        def slope(x):
            z = x[:, :1] - 4 * x[:, 1:] + 2
            return -4 * np.tanh(z) / np.cosh(z) ** 2

        return [
            dde.icbc.DirichletBC(geometry, soliton, everywhere),
            dde.icbc.NeumannBC(geometry, slope, lambda x, on: on and np.isclose(x[0], 8.0)),
            dde.icbc.IC(geometry, soliton, everywhere),
        ]

    @staticmethod
    def exact():
        points = mesh((-8, 8, 321), (0, 1, 51))
        return points, torch.from_numpy(soliton(points.numpy()))


GRADED = {"cells": 31, "toward": 0.0, "strength": 5.0}
FOUND = {"rows": 2.6, "features": 49, "slabs": 4}
CASES = {
    "burgers, nodes given; 4 slabs of 31 × 3 cells of 64": (
        Shock,
        {"along": [GRADED, 12], "features": 64, "slabs": 4, "rows": 2.24},
    ),
    "burgers, nodes given; 4 slabs of 31 × 3 cells of 100": (
        Shock,
        {"along": [GRADED, 12], "features": 100, "slabs": 4, "rows": 2.24},
    ),
    "burgers, found; 4 slabs from 8 × 2 cells of 49": (
        Shock,
        {
            **FOUND,
            "along": [8, 8],
            "refine": {"rounds": 7, "most": 9000, "goal": 1e-10, "share": 0.8},
        },
    ),
    "allen-cahn, found; 4 slabs from 8 × 2 cells of 49": (
        Phases,
        {
            **FOUND,
            "along": [8, 8],
            "refine": {"rounds": 7, "most": 9000, "goal": 1e-10, "share": 0.8},
        },
    ),
    "wave; 8 × 16 cells of 100": (Wave, {"along": [8, 16], "features": 100, "scale": 0.7}),
    "wave; 2 slabs of 8 × 8 cells of 100": (
        Wave,
        {"along": [8, 16], "features": 100, "scale": 0.7, "slabs": 2, "rows": 2.24},
    ),
    "soliton, found; 2 slabs from 8 × 2 cells of 64": (
        Soliton,
        {
            **FOUND,
            "along": [8, 4],
            "slabs": 2,
            "features": 64,
            "refine": {"rounds": 6, "most": 16000, "goal": 1e-10, "share": 0.8},
        },
    ),
}


def solve(kind, options, seed):
    """Largest number of unknowns, seconds, error; ``parted``: validation over fit residual."""
    clock = Clock()
    task = PatchTask(of=kind.Config(), **options)
    task.prepare(Setting(seed=seed))
    theta, most = task.initial, 0
    while theta is not None:
        most = max(most, len(theta))
        weights = theta.view(task.problem.layout.shapes[0])
        last = newton.solve(task.problem.system, weights).weights.flatten()
        theta = task.proceed(last)
    clock.pause()
    with building(seed, torch.float64):
        points, exact = kind.exact()
    found = torch.from_numpy(task.predict(last, points.numpy()))
    measured = task.measure(last)
    parted = measured["validation_loss"] / measured["fit_loss"]
    error = float((found - exact).norm() / exact.norm())
    return {"unknowns": most, "seconds": clock.spent, "error": error, "parted": parted}


if __name__ == "__main__":
    runs = {name: partial(solve, *settings) for name, settings in CASES.items()}
    cases.main(runs, __doc__, {"parted": ".1f"})

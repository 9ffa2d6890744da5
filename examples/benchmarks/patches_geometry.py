"""Networks on patches, beyond rectangles and one equation: the table in docs/results/patches.md.

    OMP_NUM_THREADS=1 python examples/benchmarks/patches_geometry.py [name ...] [--seeds 3]

With ``--out FILE`` every run is appended to a file, and none is repeated (``cases``).

Domains with a re-entrant corner and with a hole, three dimensions, an unknown coefficient; flows:
``patches_flows``.
Processor seconds with set-up; relative L2 errors at random points or against what a case names.
"""

import math
import time

import cases
import numpy as np
import torch
from patches import VISCOSITY, cole_hopf, everywhere, interval_in_time

import ddopt_patches
from ddopt_patches import newton
from ddopt_patches.along import Along
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

PI = math.pi


def d(u, x, j, i=0):
    return dde.grad.jacobian(u, x, i=i, j=j)


def dd(u, x, j, i=0):
    return dde.grad.hessian(u, x, component=i, i=j, j=j)


def given(exact, component=0):
    return lambda x: exact(torch.as_tensor(x))[:, component : component + 1].numpy()


def solved(stated, nodes, features, seed, outputs=1, scale=1.0, weight=100.0, **options):
    """The network, its active unknowns and the seconds."""
    began = time.process_time()
    patches = Patches.random(Grid(nodes), features, outputs, scale, seed)
    system = stated.system(patches, 2.0, weight)
    end = newton.solve(system, system.zeros(), steps=12, **options)
    seconds = time.process_time() - began
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(end.weights)
    return net, int(system.active.sum()) * patches.block, seconds


def against(net, exact, geometry):
    x = torch.as_tensor(geometry.random_points(20_000)).double()
    return float((net(x) - exact(x)).norm() / exact(x).norm())


def measured(n, seconds, error):
    return {"unknowns": n, "seconds": seconds, "error": error}


def l_shape(cells, features, strength, weight):
    def exact(x):
        angle = torch.atan2(x[:, 1:], x[:, :1])
        angle = torch.where(angle < -1e-9, angle + 2 * PI, angle)
        return x.norm(dim=1, keepdim=True) ** (2 / 3) * torch.sin(2 / 3 * angle)

    def run(seed):
        room = dde.geometry.Rectangle([-1, -1], [1, 1])
        geometry = room - dde.geometry.Rectangle([0, -1], [1, 0])
        value = dde.icbc.DirichletBC(geometry, given(exact), everywhere)
        stated = Statement(geometry, lambda x, u: dd(u, x, 0) + dd(u, x, 1), [value])
        nodes = [Along(cells=cells, toward=0.0, strength=strength).between(-1.0, 1.0)] * 2
        net, n, seconds = solved(stated, nodes, features, seed, weight=weight)
        return measured(n, seconds, against(net, exact, geometry))

    return run


def ring(cells, features):
    def wave(x):
        return torch.sin(5 * x[:, :1]) * torch.cos(4 * x[:, 1:])

    def exact(x):
        return wave(x) + x[:, :1] * x[:, 1:]

    def run(seed):
        geometry = dde.geometry.Disk([0, 0], 1) - dde.geometry.Disk([0, 0], 0.35)
        value = dde.icbc.DirichletBC(geometry, given(exact), everywhere)
        stated = Statement(geometry, lambda x, u: dd(u, x, 0) + dd(u, x, 1) + 41 * wave(x), [value])
        nodes = [Along(cells=cells).between(-1.0, 1.0)] * 2
        net, n, seconds = solved(stated, nodes, features, seed, scale=0.7)
        return measured(n, seconds, against(net, exact, geometry))

    return run


def cube(cells, features, scale=0.3, weight=100.0):
    def exact(x):
        return torch.sin(PI * x).prod(1, keepdim=True)

    def run(seed):
        geometry = dde.geometry.Cuboid([0, 0, 0], [1, 1, 1])
        value = dde.icbc.DirichletBC(geometry, given(exact), everywhere)

        def equation(x, u):
            return dd(u, x, 0) + dd(u, x, 1) + dd(u, x, 2) + 3 * PI**2 * exact(x)

        nodes = [Along(cells=cells).between(0.0, 1.0)] * 3
        stated = Statement(geometry, equation, [value])
        net, n, seconds = solved(stated, nodes, features, seed, scale=scale, weight=weight)
        return measured(n, seconds, against(net, exact, geometry))

    return run


def viscosity(noise):
    """Burgers' viscosity from 200 values with noise of this standard deviation; its error."""

    def run(seed):
        dde.config.set_default_float("float64")
        began = time.process_time()
        domain, chance = interval_in_time(-1, 1, 0, 1), np.random.default_rng(seed)
        x = chance.random((200, 2)) * [2, 1] - [1, 0]
        y = cole_hopf(torch.as_tensor(x)).numpy()
        sought = dde.Variable(0.02)

        def equation(x, u):
            return d(u, x, 1) + u * d(u, x, 0) - sought * dd(u, x, 0)

        conditions = [
            dde.icbc.DirichletBC(domain, lambda x: np.zeros((len(x), 1)), everywhere),
            dde.icbc.IC(domain, lambda x: -np.sin(PI * x[:, :1]), everywhere),
            dde.icbc.PointSetBC(x, y + noise * chance.standard_normal(y.shape)),
        ]
        counts = {"num_domain": 50, "num_boundary": 20, "num_initial": 20}
        data = dde.data.TimePDE(domain, equation, conditions, **counts)
        along = [{"cells": 26, "toward": 0.0, "strength": 5.0}, 9]
        net = ddopt_patches.fbpinn(domain, along=along, features=49, seed=seed)
        model = dde.Model(data, net)
        for observed in (3.0, 0.03) if noise else (3.0,):
            ddopt_patches.compile(model, observed=observed, external_trainable_variables=[sought])
            model.train(iterations=15, display_every=100)
        seconds = time.process_time() - began
        missed = abs(float(sought.detach()) / VISCOSITY - 1)
        return measured(net.weights.numel() + 1, seconds, missed)

    return run


CASES = {
    "disk with a hole; 11² patches of 64": ring(10, 64),
    "disk with a hole; 13² patches of 100": ring(12, 100),
    "l-shape; 25² patches of 64": l_shape(24, 64, 6.0, 100.0),
    "l-shape; 33² patches of 49": l_shape(32, 49, 7.0, 100.0),
    "poisson in 3-d; 8³ patches of 56": cube(7, 56, weight=None),
    "poisson in 3-d; 5³ patches of 84": cube(4, 84),
    "burgers' viscosity, exact values": viscosity(0.0),
    "burgers' viscosity, noise 0.01": viscosity(0.01),
}


if __name__ == "__main__":
    cases.main(CASES, __doc__)

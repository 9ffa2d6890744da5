"""Networks on patches, beyond rectangles and one equation: the table in docs/results/patches.md.

    OMP_NUM_THREADS=1 python examples/benchmarks/patches_geometry.py [name ...] [--seeds 3]

With ``--out FILE`` every run is appended to a file, and none is repeated (``cases``).

Domains with a re-entrant corner and with a hole, flows, three dimensions, an unknown coefficient.
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


def flow(x, w, viscosity):
    """The residuals of momentum and mass for (u, v, p)."""

    def momentum(i):
        carried = w[:, :1] * d(w, x, 0, i) + w[:, 1:2] * d(w, x, 1, i)
        return carried + d(w, x, i, 2) - viscosity * (dd(w, x, 0, i) + dd(w, x, 1, i))

    return [momentum(0), momentum(1), d(w, x, 0, 0) + d(w, x, 1, 1)]


def kovasznay(cells, features, reynolds=20.0):
    rate = reynolds / 2 - math.sqrt(reynolds**2 / 4 + 4 * PI**2)

    def exact(x):
        a, b, e = 2 * PI * x[:, 1:], rate / (2 * PI), torch.exp(rate * x[:, :1])
        return torch.cat([1 - e * torch.cos(a), b * e * torch.sin(a), (1 - e * e) / 2], 1)

    def run(seed):
        geometry = dde.geometry.Rectangle([-0.5, -0.5], [1, 1.5])
        place = np.array([[1.0, 0.5]])
        conditions = [
            dde.icbc.DirichletBC(geometry, given(exact, 0), everywhere, component=0),
            dde.icbc.DirichletBC(geometry, given(exact, 1), everywhere, component=1),
            dde.icbc.PointSetBC(place, given(exact, 2)(place), component=2),
        ]
        stated = Statement(geometry, lambda x, w: flow(x, w, 1 / reynolds), conditions)
        ends = ((-0.5, 1.0), (-0.5, 1.5))
        nodes = [Along(cells=c).between(*e) for c, e in zip(cells, ends, strict=True)]
        net, n, seconds = solved(stated, nodes, features, seed, outputs=3, scale=0.7)
        return measured(n, seconds, against(net, exact, geometry))

    return run


# Ghia, Ghia and Shin, Journal of Computational Physics 48 (1982) 387: Re = 100, tables I and II.
ACROSS = [0.0625, 0.0703, 0.0781, 0.0938, 0.1563, 0.2266, 0.2344, 0.5, 0.8047, 0.8594, 0.9063]
ACROSS += [0.9453, 0.9531, 0.9609, 0.9688]
V = [0.09233, 0.10091, 0.10890, 0.12317, 0.16077, 0.17507, 0.17527, 0.05454, -0.24533, -0.22445]
V += [-0.16914, -0.10313, -0.08864, -0.07391, -0.05906]
UP = [0.0547, 0.0625, 0.0703, 0.1016, 0.1719, 0.2813, 0.4531, 0.5, 0.6172, 0.7344, 0.8516]
UP += [0.9531, 0.9609, 0.9688, 0.9766]
U = [-0.03717, -0.04192, -0.04775, -0.06434, -0.10150, -0.15662, -0.21090, -0.20581, -0.13641]
U += [0.00332, 0.23151, 0.68717, 0.73722, 0.78871, 0.84123]


def cavity(cells, features, reynolds=100.0):
    """The error is the largest distance to a tabulated value.

    The lid's corners are singular: the equations are weighted by min(1, distance / 0.1) there.
    """

    def equation(x, w):
        left = x[:, :1] ** 2 + (1 - x[:, 1:]) ** 2
        near = torch.minimum(left, (1 - x[:, :1]) ** 2 + (1 - x[:, 1:]) ** 2)
        factor = (near / (near + 0.01)).sqrt()
        return [factor * one for one in flow(x, w, 1 / reynolds)]

    def run(seed):
        geometry = dde.geometry.Rectangle([0, 0], [1, 1])
        place = np.array([[0.5, 0.0]])
        conditions = [
            dde.icbc.DirichletBC(geometry, lambda x: np.isclose(x[:, 1:], 1) * 1.0, everywhere),
            dde.icbc.DirichletBC(
                geometry, lambda x: np.zeros((len(x), 1)), everywhere, component=1
            ),
            dde.icbc.PointSetBC(place, np.zeros((1, 1)), component=2),
        ]
        s = torch.linspace(-1, 1, cells + 1, dtype=torch.float64)
        nodes = [(torch.tanh(2.0 * s) / math.tanh(2.0) + 1) / 2] * 2
        stated = Statement(geometry, equation, conditions)
        net, n, seconds = solved(stated, nodes, features, seed, outputs=3, exact=1e-8)
        half = torch.full((15, 1), 0.5, dtype=torch.float64)
        up, across = (torch.tensor(one, dtype=torch.float64)[:, None] for one in (UP, ACROSS))
        u = net(torch.cat([half, up], 1))[:, 0] - torch.tensor(U)
        v = net(torch.cat([across, half], 1))[:, 1] - torch.tensor(V)
        return measured(n, seconds, float(torch.cat([u, v]).abs().max()))

    return run


def cube(cells, features, scale=0.5):
    def exact(x):
        return torch.sin(PI * x).prod(1, keepdim=True)

    def run(seed):
        geometry = dde.geometry.Cuboid([0, 0, 0], [1, 1, 1])
        value = dde.icbc.DirichletBC(geometry, given(exact), everywhere)

        def equation(x, u):
            return dd(u, x, 0) + dd(u, x, 1) + dd(u, x, 2) + 3 * PI**2 * exact(x)

        nodes = [Along(cells=cells).between(0.0, 1.0)] * 3
        stated = Statement(geometry, equation, [value])
        net, n, seconds = solved(stated, nodes, features, seed, scale=scale)
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
    "kovasznay; 7 × 9 patches of 3 × 64": kovasznay((6, 8), 64),
    "kovasznay; 9 × 11 patches of 3 × 64": kovasznay((8, 10), 64),
    "cavity; 13² patches of 3 × 36": cavity(12, 36),
    "poisson in 3-d; 8³ patches of 40": cube(7, 40),
    "poisson in 3-d; 8³ patches of 56": cube(7, 56),
    "burgers' viscosity, exact values": viscosity(0.0),
    "burgers' viscosity, noise 0.01": viscosity(0.01),
}


if __name__ == "__main__":
    cases.main(CASES, __doc__)

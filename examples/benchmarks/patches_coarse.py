"""Patches with and without a coarse network over the whole domain: the table in docs/patches.md.

    OMP_NUM_THREADS=1 python examples/benchmarks/patches_coarse.py

Relative L2 errors at random points, the median of three seeds.
"""

import math
import statistics

import torch
from patches_geometry import against, dd, everywhere, given

from ddopt_patches import newton
from ddopt_patches.network import FBPINN
from ddopt_patches.options import PatchSettings
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

SQUARE = dde.geometry.Rectangle([0, 0], [1, 1])


def smooth():
    def exact(x):
        return torch.exp(x[:, :1]) * torch.sin(2 * x[:, 1:])

    return exact, lambda x, u: dd(u, x, 0) + dd(u, x, 1) + 3 * exact(x)


def multiscale(omegas=(2, 4, 8)):
    def waves(x, power):
        found = [(w * math.pi) ** power * torch.sin(w * math.pi * x).prod(1) for w in omegas]
        return sum(found)[:, None] / len(omegas)

    return lambda x: waves(x, 0), lambda x, u: dd(u, x, 0) + dd(u, x, 1) + 2 * waves(x, 2)


def error(problem, cells, features, seed, coarse):
    exact, equation = problem
    value = dde.icbc.DirichletBC(SQUARE, given(exact), everywhere)
    settings = PatchSettings(along=[cells, cells], features=features, coarse=coarse)
    patches = settings.patches([(0, 1), (0, 1)], 1, (), seed)
    system = Statement(SQUARE, equation, [value]).system(patches)
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(newton.solve(system, system.zeros(), steps=12).weights)
    return against(net, exact, SQUARE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    dde.config.set_default_float("float64")
    for name, problem, cells, features in [
        *(("smooth", smooth(), 4, K) for K in (10, 16, 25)),
        *(("smooth", smooth(), 16, K) for K in (10, 16)),
        *(("multiscale", multiscale(), 8, K) for K in (25, 36, 64)),
    ]:
        both = [
            statistics.median(error(problem, cells, features, s, coarse) for s in range(3))
            for coarse in (False, True)
        ]
        print(
            f"| {name} | {cells + 1}² of {features} | {both[0]:.1e} | {both[1]:.1e} |", flush=True
        )

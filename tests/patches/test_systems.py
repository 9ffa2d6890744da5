"""Several outputs and equations: a flow with a free constant in its pressure, an elastic plate."""

import math

import numpy as np
import pytest
import torch

from ddopt_patches import newton
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

REYNOLDS = 20.0
RATE = REYNOLDS / 2 - math.sqrt(REYNOLDS**2 / 4 + 4 * math.pi**2)


pytestmark = pytest.mark.usefixtures("double")


def d(u, x, i, j):
    return dde.grad.jacobian(u, x, i=i, j=j)


def laplacian(u, x, i):
    return sum(dde.grad.hessian(u, x, component=i, i=j, j=j) for j in (0, 1))


def navier_stokes(x, w):
    def momentum(i):
        carried = w[:, :1] * d(w, x, i, 0) + w[:, 1:2] * d(w, x, i, 1)
        return carried + d(w, x, 2, i) - laplacian(w, x, i) / REYNOLDS

    return [momentum(0), momentum(1), d(w, x, 0, 0) + d(w, x, 1, 1)]


def kovasznay(x):
    """Kovasznay, Proceedings of the Cambridge Philosophical Society 44 (1948) 58."""
    e, a = torch.exp(RATE * x[:, :1]), 2 * math.pi * x[:, 1:]
    v = RATE / (2 * math.pi) * e * torch.sin(a)
    return torch.cat([1 - e * torch.cos(a), v, (1 - e * e) / 2], 1)


LAME, SHEAR = 1.0, 0.5


def elasticity(x, w):
    """(λ + μ) ∇ div u + μ Δu for u = (sin x cos y, cos x sin y): div u = 2 cos x cos y."""
    force = -(2 * (LAME + SHEAR) + 2 * SHEAR) * displaced(x)
    found = []
    for i in (0, 1):
        j = 1 - i
        grad_div = dde.grad.hessian(w, x, component=i, i=i, j=i)
        grad_div = grad_div + dde.grad.hessian(w, x, component=j, i=i, j=j)
        found.append((LAME + SHEAR) * grad_div + SHEAR * laplacian(w, x, i) - force[:, i : i + 1])
    return found


def displaced(x):
    a, b = x[:, :1], x[:, 1:]
    return torch.cat([torch.sin(a) * torch.cos(b), torch.cos(a) * torch.sin(b)], 1)


def given(exact, component):
    return lambda x: exact(torch.as_tensor(x))[:, component : component + 1].numpy()


def sides(geometry, exact):
    return [
        dde.icbc.DirichletBC(geometry, given(exact, c), lambda _, on: on, component=c)
        for c in (0, 1)
    ]


def missed(equation, exact, conditions, bounds, cells, outputs):
    geometry = dde.geometry.Rectangle(*np.array(bounds).T.tolist())
    patches = Patches.random(Grid.uniform(bounds, cells), 36, outputs)
    held = conditions(geometry)
    system = Statement(geometry, equation, held).system(patches)
    net = FBPINN(patches).requires_grad_(False)
    net.weights.copy_(newton.solve(system, system.zeros()).weights)
    x = torch.as_tensor(geometry.random_points(500)).double()
    return float((net(x) - exact(x)).norm() / exact(x).norm())


BOX = ((-0.5, 1.0), (-0.5, 0.5))


def test_a_flow_with_its_pressure_fixed_at_a_point():
    place = np.array([[1.0, 0.0]])

    def conditions(geometry):
        fixed = dde.icbc.PointSetBC(place, given(kovasznay, 2)(place), component=2)
        return [*sides(geometry, kovasznay), fixed]

    assert missed(navier_stokes, kovasznay, conditions, BOX, (3, 3), 3) < 1e-3


def test_a_pressure_that_nothing_fixes_is_told():
    with pytest.raises(ValueError, match=r"constant in output 2.*PointSetBC.*component=2"):
        missed(navier_stokes, kovasznay, lambda g: sides(g, kovasznay), BOX, (2, 2), 3)


def test_an_elastic_plate():
    def conditions(geometry):
        return sides(geometry, displaced)

    assert missed(elasticity, displaced, conditions, ((0, 1), (0, 2)), (2, 3), 2) < 1e-5

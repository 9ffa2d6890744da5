"""The weight of conditions: what it follows, and where it lies for problems that are known."""

import math

import numpy as np
import pytest
import torch

from ddopt_patches import newton
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.statement import Statement
from ddopt_pinn.library import building, dde

SQUARE = ((0.0, 1.0), (0.0, 1.0))


def poisson(cells, equation=1.0, condition=1.0):
    """−Δu = 2 π² sin πx sin πy on a square, both sides in some unit; and its exact solution."""
    square = dde.geometry.Rectangle([0, 0], [1, 1])

    def laplace(x, u):
        f = 2 * math.pi**2 * torch.sin(math.pi * x).prod(1, keepdim=True)
        parts = [dde.grad.hessian(u, x, i=i, j=i) for i in (0, 1)]
        return equation * (-sum(parts) - f)

    zero = dde.icbc.OperatorBC(square, lambda x, u, _: condition * u, lambda _, on: on)
    patches = Patches.random(Grid.uniform(SQUARE, (cells, cells)), 25)
    return Statement(square, laplace, [zero]), patches


def chosen(stated, patches):
    with building(0, torch.float64):
        return [rows.weight for rows in stated.system(patches).rows[1:]]


def test_units_do_not_matter():
    first = chosen(*poisson(4))
    assert len(first) == 4
    assert chosen(*poisson(4, equation=10.0)) == pytest.approx([10 * w for w in first])
    assert chosen(*poisson(4, condition=10.0)) == pytest.approx([w / 10 for w in first])


def test_it_grows_with_finer_cells_as_the_order_of_the_equation_has_it():
    coarse, fine = (sum(chosen(*poisson(n))) / 4 for n in (4, 8))
    assert fine / coarse == pytest.approx(2**1.5, rel=0.25)


def test_the_patch_where_the_equation_is_weakest_decides():
    stated, patches = poisson(4)
    with building(0, torch.float64):
        system = stated.system(patches)
    norms = []
    for rows in system.rows:
        block = rows.linearised(system.zeros())[1]
        own = torch.zeros(patches.grid.patches, dtype=torch.float64)
        own.index_add_(0, block.patches.flatten(), block.by_corner.square().sum((2, 3)).flatten())
        norms.append(own)
    for own in norms[1:]:
        assert float((own / norms[0]).max()) == pytest.approx(9.0)


def test_one_may_be_given():
    stated, patches = poisson(4)
    with building(0, torch.float64):
        assert [rows.weight for rows in stated.system(patches, weight=7.0).rows[1:]] == [7.0] * 4
        assert [rows.weight for rows in stated.system(patches, weight=0.0).rows[1:]] == [0.0] * 4


def test_where_the_equation_has_no_slope_there_still_is_a_weight():
    line = dde.geometry.Rectangle([0, 0], [1, 1])

    def eikonal(x, u):
        return sum(dde.grad.jacobian(u, x, i=0, j=j) ** 2 for j in (0, 1)) - 1.0

    zero = dde.icbc.DirichletBC(line, lambda x: np.zeros((len(x), 1)), lambda _, on: on)
    patches = Patches.random(Grid.uniform(SQUARE, (2, 2)), 9)
    assert chosen(Statement(line, eikonal, [zero]), patches) == [100.0] * 4


def test_it_is_near_the_best_of_a_sweep():
    stated, patches = poisson(4)
    x = torch.cartesian_prod(*[torch.linspace(0, 1, 31, dtype=torch.float64)] * 2)
    exact = torch.sin(math.pi * x).prod(1, keepdim=True)

    def error(weight):
        with building(0, torch.float64):
            system = stated.system(patches, weight=weight)
            end = newton.solve(system, steps=2)
        net = FBPINN(patches).requires_grad_(False)
        net.weights.copy_(end.weights)
        return float((net(x) - exact).norm() / exact.norm())

    assert error(None) < 2.0 * min(error(10.0**k) for k in range(-1, 5))


def test_a_weight_that_is_computed_in_pieces_is_the_same(monkeypatch):
    whole = chosen(*poisson(5))
    monkeypatch.setattr("ddopt_patches.rows.KEPT", 2_000)
    assert chosen(*poisson(5)) == pytest.approx(whole, rel=1e-13)
    with building(0, torch.float64):
        stated, patches = poisson(5)
        assert "_sigma" not in vars(stated.system(patches).rows[0])

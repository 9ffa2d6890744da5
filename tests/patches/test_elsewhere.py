"""Equations that need u at other points than their own: integrals, delays, averages."""

import math

import numpy as np
import pytest
import torch

import ddopt_patches
from ddopt_patches.dense_rows import DenseRows
from ddopt_patches.equation import ElsewhereError
from ddopt_patches.grid import Grid
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.problem import PatchProblem
from ddopt_patches.quadrature import gauss
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

PI = math.pi


pytestmark = pytest.mark.usefixtures("double_in_deepxde")


def sine(x):
    return np.sin(PI * x)


def line():
    return dde.geometry.Interval(0, 1)


def held(geometry):
    return dde.icbc.DirichletBC(geometry, sine, lambda _, on: on)


class Fredholm:
    """u'' + u ∫₀¹ u ds = f with u = sin πx: the integral by Gauss points of the network."""

    def __init__(self, net):
        self.net, (s, self.w) = net, gauss(20)
        self.s = s[:, None]

    def __call__(self, x, u):
        integral = (self.w[:, None] * self.net(self.s)).sum()
        f = -(PI**2) * torch.sin(PI * x) + torch.sin(PI * x) * 2 / PI
        return dde.grad.hessian(u, x, i=0, j=0) + u * integral - f


def model(along=3, features=20, conditions=(), **options):
    geometry = line()
    net = ddopt_patches.fbpinn(geometry, along=[along], features=features)
    data = dde.data.PDE(
        geometry, Fredholm(net), [held(geometry), *conditions], num_domain=20, num_boundary=2
    )
    made = dde.Model(data, net)
    ddopt_patches.compile(made, **options)
    return made


def test_an_integral_equation_is_solved_and_told_of():
    with pytest.warns(UserWarning, match=r"Jacobian is autograd's, and dense, 80 unknowns wide"):
        made = model()
    made.train(iterations=8, display_every=100)
    x = np.linspace(0, 1, 101)[:, None]
    assert np.abs(made.predict(x) - sine(x)).max() < 1e-9


@pytest.mark.filterwarnings("ignore:the equation needs u at other")
def test_slope_and_jacobian_are_those_of_f():
    net = FBPINN(Patches.random(Grid.uniform([(0, 1)], [2]), 6))
    stated = Statement(line(), Fredholm(net), [held(line())], net=net)
    problem = PatchProblem(stated.system(net.patches))
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(problem.layout.size, generator=generator, dtype=torch.float64)
    away = torch.randn(problem.layout.size, generator=generator, dtype=torch.float64)
    J, r = problem.jacobian(theta), problem.residuals(theta)
    point = problem.both(theta)
    assert point.value == pytest.approx(float(r @ r))
    torch.testing.assert_close(point.gradient, 2.0 * J.mT @ r)
    step = 1e-6
    slope = (problem.residuals(theta + step * away) - problem.residuals(theta - step * away)) / (
        2 * step
    )
    torch.testing.assert_close(J @ away, slope, rtol=1e-6, atol=1e-6)
    assert not bool(net.weights.any())  # it was asked at other weights and keeps its own


@pytest.mark.filterwarnings("ignore:a OperatorBC needs u at other")
def test_a_condition_may_be_an_integral():
    """u'' = 0 with u(0) = 0 and ∫₀¹ u ds = 1: u = 2x."""
    geometry = line()
    net = ddopt_patches.fbpinn(geometry, along=[2], features=20)
    s, w = gauss(8)

    def mean(x, u, _):
        return (w[:, None] * net(s[:, None])).sum() - 1.0 + 0.0 * u

    left = dde.icbc.DirichletBC(geometry, lambda x: 0 * x, lambda x, on: np.isclose(x[0], 0.0))
    whole = dde.icbc.OperatorBC(geometry, mean, lambda x, on: np.isclose(x[0], 1.0))
    data = dde.data.PDE(
        geometry,
        lambda x, u: dde.grad.hessian(u, x, i=0, j=0),
        [left, whole],
        num_domain=20,
        num_boundary=2,
    )
    made = dde.Model(data, net)
    ddopt_patches.compile(made)
    made.train(iterations=5, display_every=100)
    x = np.linspace(0, 1, 21)[:, None]
    assert np.abs(made.predict(x) - 2 * x).max() < 1e-7


def test_what_cannot_be_solved_so_is_told():
    with pytest.raises(ValueError, match=r"4,100 unknowns are too many.*fewer patches or features"):
        model(along=40, features=100)
    net = FBPINN(Patches.random(Grid.uniform([(0, 1)], [2]), 6))
    other = FBPINN(Patches.random(Grid.uniform([(0, 1)], [2]), 6))
    for mine in (net, None):
        stated = Statement(line(), Fredholm(other), [held(line())], net=mine)
        with pytest.raises(ElsewhereError, match="network of its own"):
            stated.system(net.patches)
    stated = Statement(line(), Fredholm(net), [held(line())], net=net)
    with pytest.warns(UserWarning, match="dense"):
        problem = PatchProblem(stated.system(net.patches))
    assert any(isinstance(rows, DenseRows) for rows in problem.system.rows)
    with pytest.raises(ElsewhereError, match="belong to no region; take the strategy 'patches'"):
        problem.own_share(0, 2)


@pytest.mark.filterwarnings("ignore:the equation needs u at other")
def test_numbers_beside_an_integral_are_refused():
    number = dde.Variable(1.0)
    with pytest.raises(ValueError, match=r"numbers.*needs u at other points"):
        model(external_trainable_variables=[number])

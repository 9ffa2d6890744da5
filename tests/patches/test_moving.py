"""Hidden layers that train: jets and Jacobian by all unknowns, and what a run makes of them."""

import numpy as np
import pytest
import torch

import ddopt_patches
from ddopt_patches import quadrature
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.moving_rows import MovingRows
from ddopt_patches.network import FBPINN, Patches
from ddopt_pinn.library import building, dde, load


def d(u, x, i, j):
    return dde.grad.jacobian(u, x, i=i, j=j)


def dd(u, x, c, i, j):
    return dde.grad.hessian(u, x, component=c, i=i, j=j)


def flow(x, w):
    carried = w[:, :1] * d(w, x, 0, 0) + w[:, 1:] * d(w, x, 0, 1)
    return [carried - dd(w, x, 0, 0, 1) + x[:, :1] * dd(w, x, 0, 1, 1), d(w, x, 1, 0) ** 2]


CASES = {
    "value": (1, 1, lambda x, u: u**2 - x),
    "third order": (1, 1, lambda x, u: d(dd(u, x, 0, 0, 0), x, 0, 0) + u),
    "system in the plane": (2, 2, flow),
    "Laplace in space": (3, 1, lambda x, u: sum(dd(u, x, 0, i, i) for i in range(3))),
}


def made(dimensions, outputs, features=3):
    grid = Grid.uniform([(0, 1), (-1, 1), (0, 2)][:dimensions], [2] * dimensions)
    drawn = Patches.random(grid, features, outputs, seed=3)
    return Patches(grid, drawn.W, drawn.b, outputs, moving=True)


def unknowns(patches):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(
        patches.grid.patches,
        patches.outputs,
        patches.features,
        generator=generator,
        dtype=torch.float64,
    )
    return patches.joined(outputs)


@pytest.mark.parametrize("name", CASES)
def test_the_jacobian_by_hidden_layers_is_that_of_autograd(name):
    dimensions, outputs, function = CASES[name]
    with building(0, torch.float64):
        patches = made(dimensions, outputs)
        points = quadrature.interior(patches.grid, 2)
        rows = MovingRows(
            patches, points, Equation(function, dimensions, outputs, points.x, None), 2.0
        )
        theta = unknowns(patches)
        net = FBPINN(patches)
        net.weights.data.copy_(theta)
        x = points.x.flatten(0, 1).requires_grad_()
        found = function(x, net(x))
        wanted = torch.cat(found if isinstance(found, list) else [found], 1)
        wanted = wanted * 2.0 * points.roots.flatten()[:, None]
        r, block = rows.linearised(theta)
        torch.testing.assert_close(r.flatten(), wanted.detach().flatten())
        full = torch.zeros(r.numel(), patches.grid.patches, patches.block, dtype=torch.float64)
        full = full.view(*r.shape, *full.shape[1:])
        for k in range(patches.grid.corners):
            full[torch.arange(len(r)), :, block.patches[:, k]] += block.by_corner[:, k]
        dense = torch.stack(
            [
                torch.autograd.grad(one, net.weights, retain_graph=True, materialize_grads=True)[0]
                for one in wanted.flatten()
            ]
        )
        torch.testing.assert_close(full.flatten(0, 1).flatten(1), dense.flatten(1))
        value, slope = rows.gradient(theta)
        assert value == pytest.approx(float((wanted.detach() ** 2).sum()))
        torch.testing.assert_close(
            slope.flatten(), 2.0 * full.flatten(0, 1).flatten(1).mT @ r.flatten()
        )
        dde.grad.clear()


def layer(x):
    return np.tanh(20.0 * (x - 0.37))


def script(train_hidden, features=6):
    """−u'' = f with a layer of width 0.05 between 4 cells."""
    geometry = dde.geometry.Interval(0, 1)

    def equation(x, u):
        y = torch.tanh(20.0 * (x - 0.37))
        return dd(u, x, 0, 0, 0) + 800.0 * y * (1.0 - y * y)

    value = dde.icbc.DirichletBC(geometry, layer, lambda _, on: on)
    data = dde.data.PDE(geometry, equation, value, num_domain=40, num_boundary=2)
    net = ddopt_patches.fbpinn(geometry, along=[4], features=features, train_hidden=train_hidden)
    return dde.Model(data, net)


def error(model):
    x = np.linspace(0, 1, 501)[:, None]
    return float(np.abs(model.predict(x) - layer(x)).max())


def test_hidden_layers_find_a_layer_that_random_features_miss():
    with building(0, torch.float64):
        load().config.set_default_float("float64")
        try:
            errors = {}
            for train in (False, True):
                model = script(train)
                ddopt_patches.compile(model)
                model.train(iterations=60, display_every=1000)
                errors[train] = error(model)
        finally:
            load().config.set_default_float("float32")
    assert errors[False] > 1e-3
    assert errors[True] < 1e-4


def test_whole_gauss_newton_steps_are_refused():
    with building(0, torch.float64):
        load().config.set_default_float("float64")
        try:
            model = script(True)
            ddopt_patches.compile(model, solver="trust_region")
            with pytest.raises(ValueError, match=r"hidden layers that train.*levenberg_marquardt"):
                model.train(iterations=2, display_every=1000)
        finally:
            load().config.set_default_float("float32")


def test_the_state_holds_the_hidden_layers():
    patches = made(2, 1)
    net, other = FBPINN(patches), FBPINN(made(2, 1))
    net.weights.data.normal_()
    other.load_state_dict(net.state_dict())
    x = torch.rand(9, 2, dtype=torch.float64) * torch.tensor([1.0, 2.0]) - torch.tensor([0.0, 1.0])
    assert torch.equal(net(x), other(x))
    assert FBPINN(patches).blank
    assert not net.blank

"""DeepXDE scripts with a network on patches: any equation, the display, saving, what is refused."""

import numpy as np
import pytest
import torch

import ddopt
import ddopt_patches
from ddopt_pinn.library import dde

pytestmark = pytest.mark.usefixtures("double_in_deepxde")


def script(equation, exact, along=(4, 4), features=49, geometry=None):
    geometry = geometry or dde.geometry.Rectangle([0, 0], [1, 1])
    value = dde.icbc.DirichletBC(geometry, exact, lambda _, on: on)
    data = dde.data.PDE(geometry, equation, value, num_domain=60, num_boundary=20)
    net = ddopt_patches.fbpinn(geometry, along=list(along), features=features)
    return dde.Model(data, net)


def hessian(u, x, i):
    return dde.grad.hessian(u, x, i=i, j=i)


def bratu(x, u):
    return hessian(u, x, 0) + hessian(u, x, 1) + torch.exp(u) - f_bratu(x)


def wave(x):
    return np.sin(2 * x[:, :1]) * np.cos(x[:, 1:])


def f_bratu(x):
    u = torch.sin(2 * x[:, :1]) * torch.cos(x[:, 1:])
    return -5 * u + torch.exp(u)


def error(model, exact, sides=((0, 1), (0, 1))):
    x = np.random.default_rng(1).random((500, len(sides)))
    x = np.array([a for a, _ in sides]) + x * np.array([b - a for a, b in sides])
    return np.linalg.norm(model.predict(x) - exact(x)) / np.linalg.norm(exact(x))


def test_a_nonlinear_equation_of_the_users_own():
    model = script(bratu, wave)
    ddopt_patches.compile(model)
    history, _ = model.train(iterations=8, display_every=4)
    assert error(model, wave) < 1e-7
    assert sum(history.loss_train[-1]) < 1e-6


def test_an_equation_in_time_with_a_neumann_condition_starts_from_its_initial_values():
    space = dde.geometry.Interval(0, 1)
    geometry = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(0, 0.5))

    def heat(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) - 0.2 * hessian(u, x, 0)

    def exact(x):
        return np.exp(-0.2 * np.pi**2 * x[:, 1:]) * np.cos(np.pi * x[:, :1])

    flat = dde.icbc.NeumannBC(geometry, lambda x: np.zeros((len(x), 1)), lambda _, on: on)
    first = dde.icbc.IC(geometry, exact, lambda _, on: on)
    data = dde.data.TimePDE(
        geometry, heat, [flat, first], num_domain=50, num_boundary=10, num_initial=10
    )
    model = dde.Model(data, ddopt_patches.fbpinn(geometry, along=[4, 3], features=64))
    ddopt_patches.compile(model)
    start = model.net.weights.detach().clone()
    assert bool(start.any())
    model.train(iterations=3, display_every=3)
    assert error(model, exact, ((0, 1), (0, 0.5))) < 1e-7


def test_a_periodic_condition_holds_by_itself():
    space = dde.geometry.Interval(0, 1)
    geometry = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(0, 0.5))

    def advection(x, u):
        return dde.grad.jacobian(u, x, i=0, j=1) + dde.grad.jacobian(u, x, i=0, j=0)

    def exact(x):
        return np.sin(2 * np.pi * (x[:, :1] - x[:, 1:]))

    circle = dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on)
    first = dde.icbc.IC(geometry, exact, lambda _, on: on)
    data = dde.data.TimePDE(
        geometry, advection, [circle, first], num_domain=50, num_boundary=10, num_initial=10
    )
    net = ddopt_patches.fbpinn(geometry, along=[6, 3], features=64, periodic=(0,))
    model = dde.Model(data, net)
    ddopt_patches.compile(model)
    model.train(iterations=3, display_every=3)
    assert error(model, exact, ((0, 1), (0, 0.5))) < 1e-6
    ends = model.predict(np.array([[0.0, 0.2], [1.0, 0.2]]))
    assert abs(ends[0] - ends[1]) < 1e-12
    other = dde.Model(data, ddopt_patches.fbpinn(geometry, along=[6, 3], features=36))
    with pytest.raises(ValueError, match=r"periodic=\(0,\)"):
        ddopt_patches.compile(other)


def test_conditions_built_into_the_network():
    geometry = dde.geometry.Rectangle([0, 0], [1, 1])
    data = dde.data.PDE(geometry, bratu, [], num_domain=60)
    net = ddopt_patches.fbpinn(geometry, along=[4, 4], features=36)

    def inside(x, y):
        on = torch.sin(2 * x[:, :1]) * torch.cos(x[:, 1:])
        return on + (x * (1 - x)).prod(1, keepdim=True) * (y + 1)

    net.apply_output_transform(inside)
    model = dde.Model(data, net)
    ddopt_patches.compile(model)
    model.train(iterations=8, display_every=8)
    assert error(model, wave) < 1e-8


def test_saving_and_going_on_gives_the_same_bits(tmp_path):
    def made():
        model = script(bratu, wave)
        ddopt_patches.compile(model)
        return model

    whole = made()
    whole.train(iterations=2, display_every=2)
    saved = whole.save(str(tmp_path / "model"))
    whole.train(iterations=2, display_every=2)
    other = made()
    other.restore(saved)
    other.train(iterations=2, display_every=2)
    assert torch.equal(whole.net.weights, other.net.weights)


def test_the_state_of_the_network_restores_it():
    net = script(bratu, wave).net
    other = ddopt_patches.fbpinn(
        dde.geometry.Rectangle([0, 0], [1, 1]), along=[4, 4], features=49, seed=7
    )
    net.weights.data.normal_()
    other.load_state_dict(net.state_dict())
    x = torch.rand(30, 2, dtype=torch.float64)
    assert torch.equal(net(x), other(x))


def test_hidden_layers_can_be_trained_by_another_method():
    geometry = dde.geometry.Rectangle([0, 0], [1, 1])
    value = dde.icbc.DirichletBC(geometry, wave, lambda _, on: on)
    data = dde.data.PDE(geometry, bratu, value, num_domain=60, num_boundary=20)
    net = ddopt_patches.fbpinn(geometry, along=[2, 2], features=4, train_hidden=True)
    assert [len(one.flatten()) for one in net.parameters()] == [9 * 4 * (1 + 2 + 1)]
    model = dde.Model(data, net)
    model.compile(ddopt.TrustRegion(net.parameters()))
    history, _ = model.train(iterations=30, display_every=30)
    assert sum(history.loss_train[-1]) < 0.5 * sum(history.loss_train[0])


def test_an_integral_is_solved_and_can_be_trained_by_another_method():
    """u' = 1 − ∫u with u(0) = 0: u = x − s x, s = ∫u = 1/3."""
    interval = dde.geometry.Interval(0, 1)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    nodes, weights = torch.tensor((nodes[:, None] + 1) / 2), torch.tensor(weights / 2)

    def equation(x, u):
        return dde.grad.jacobian(u, x, i=0, j=0) - 1.0 + weights @ net(nodes)[:, 0]

    at_zero = dde.icbc.DirichletBC(
        interval, lambda x: 0.0 * x[:, :1], lambda x, on: on and x[0] < 0.5
    )
    data = dde.data.PDE(interval, equation, at_zero, num_domain=40, num_boundary=2)
    net = ddopt_patches.fbpinn(interval, along=[3], features=8)
    model = dde.Model(data, net)
    x = np.linspace(0, 1, 11)[:, None]
    model.compile(ddopt.TrustRegion(net.parameters()))
    model.train(iterations=150, display_every=150)
    assert np.abs(model.predict(x) - 2 * x / 3).max() < 1e-3
    with pytest.warns(UserWarning, match="needs u at other points"):
        ddopt_patches.compile(model)
    model.train(iterations=5, display_every=150)
    assert np.abs(model.predict(x) - 2 * x / 3).max() < 1e-8


def test_what_cannot_be_compiled_is_told():
    model = script(bratu, wave)
    dde.config.set_default_float("float32")
    with pytest.raises(ValueError, match="set_default_float"):
        ddopt_patches.compile(model)
    dde.config.set_default_float("float64")
    with pytest.raises(ValueError, match="not for a FNN"):
        ddopt_patches.compile(dde.Model(model.data, dde.nn.FNN([2, 5, 1], "tanh", "Glorot normal")))
    model.net.apply_feature_transform(torch.sin)
    with pytest.raises(ValueError, match="feature transform"):
        ddopt_patches.compile(model)


def test_data_that_deepxde_would_show_as_nan_is_told():
    interval = dde.geometry.Interval(0, 1)
    zero = dde.icbc.DirichletBC(interval, lambda x: 0.0 * x[:, :1], lambda _, on: on)
    data = dde.data.PDE(interval, lambda x, u: hessian(u, x, 0) - 1.0, zero, num_domain=20)
    model = dde.Model(data, ddopt_patches.fbpinn(interval, along=[4], features=9))
    with pytest.raises(ValueError, match=r"no point at which its DirichletBC.*num_boundary=20"):
        ddopt_patches.compile(model)


def test_options_are_checked():
    geometry = dde.geometry.Rectangle([0, 0], [1, 1])
    with pytest.raises(ValueError, match="along says where the nodes of 1 axes are"):
        ddopt_patches.fbpinn(geometry, along=[4])
    with pytest.raises(ValueError, match="no window 'hat'"):
        ddopt_patches.fbpinn(geometry, window="hat")

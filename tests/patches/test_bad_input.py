"""What patches cannot do is told in a sentence, with what to change."""

import math

import numpy as np
import pytest
import torch

import ddopt_patches
from ddopt_patches import newton
from ddopt_patches.grid import Grid
from ddopt_patches.network import Patches
from ddopt_patches.statement import Statement
from ddopt_patches.task import PatchTask
from ddopt_pinn.library import building, dde

pytestmark = pytest.mark.usefixtures("double")


def square():
    return dde.geometry.Rectangle([0, 0], [1, 1])


def zero(geometry):
    return dde.icbc.DirichletBC(geometry, lambda x: np.zeros((len(x), 1)), lambda _, on: on)


def laplace(x, u):
    return dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1) - 1.0


def system(equation=laplace, bounds=((0, 1), (0, 1)), outputs=1, rows=2.0, window="c3", more=()):
    patches = Patches.random(Grid.uniform(bounds, (2, 2), window=window), 9, outputs)
    geometry = square()
    return Statement(geometry, equation, [zero(geometry), *more]).system(patches, rows)


def fifth(x, u):
    for _ in range(5):
        u = dde.grad.jacobian(u, x, i=0, j=0)
    return u


def asks_for_two(x, u):
    return dde.grad.jacobian(u, x, i=1, j=0) + u


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rows": 0.5}, r"rows cannot fix 81 unknowns.*2 rows an unknown.*more points"),
        ({"bounds": ((0, 1), (0, 0.5))}, r"do not cover the domain.*axis 1.*extend the nodes"),
        ({"bounds": ((2, 3), (2, 3))}, r"do not cover the domain"),
        ({"equation": fifth}, r"above order 4.*system of lower order"),
        ({"window": "c1", "equation": lambda x, u: fourth(x, u)}, r"window 'c1'.*choose 'c3'"),
        ({"equation": asks_for_two}, r"1 output\(s\).*i=1.*outputs=\.\."),
        ({"outputs": 2}, r"constant in output 1.*PointSetBC.*component=1"),
    ],
)
def test_what_is_given_and_what_to_change(options, says):
    with pytest.raises(ValueError, match=says):
        system(**options)


def test_a_default_value_of_a_conditions_function_is_an_auxiliary_variable_to_deepxde():
    geometry = square()

    def values(x, k=0):
        return np.zeros((len(x), 1)) + k

    condition = dde.icbc.DirichletBC(geometry, values, lambda _, on: on)
    with pytest.raises(ValueError, match=r"takes 2 arguments \(x, k\).*of the points alone"):
        system(more=[condition])


def fourth(x, u):
    u_xx = dde.grad.hessian(u, x, i=0, j=0)
    return dde.grad.hessian(u_xx, x, i=0, j=0) - 1.0


def test_an_equation_that_is_not_finite_is_told_before_it_is_factorised():
    def singular(x, u):
        return laplace(x, u) + u * torch.where(x[:, :1] > 0.5, math.inf, 1.0)

    made = system(singular)
    with pytest.raises(ValueError, match=r"not finite.*divisions by zero"):
        newton.solve(made)


def test_no_curve_of_the_domain_bounds_it():
    disk = dde.geometry.Disk([0, 0], 1)
    nothing = disk - dde.geometry.Disk([0, 0], 2)
    patches = Patches.random(Grid.uniform(((-1, 1), (-1, 1)), (2, 2)), 9)
    with pytest.raises(ValueError, match=r"no point .* domain"):
        Statement(nothing, laplace, [zero(nothing)]).system(patches)


def test_a_script_with_a_domain_of_an_unknown_kind():
    with building(0, torch.float64):
        dde.config.set_default_float("float64")
        ball = dde.geometry.Sphere([0, 0, 0], 1)

        def equation(x, u):
            return laplace(x, u) + dde.grad.hessian(u, x, i=2, j=2)

        data = dde.data.PDE(ball, equation, zero(ball), num_domain=20, num_boundary=10)
        model = dde.Model(data, ddopt_patches.fbpinn(ball, along=[2, 2, 2], features=8))
        try:
            with pytest.raises(ValueError, match=r"not known as curves.*Rectangle, Polygon"):
                ddopt_patches.compile(model)
        finally:
            dde.config.set_default_float("float32")


@pytest.mark.parametrize("periodic", [(5,), (-1,), 2, (0, 2), True, (0.0,), "t"])
def test_an_axis_that_does_not_exist_cannot_be_periodic(periodic):
    with pytest.raises(ValueError, match=r"periodic names axis .*has axes 0 to 1, time last"):
        ddopt_patches.fbpinn(square(), along=[4, 4], periodic=periodic)


def test_one_periodic_axis_may_be_given_as_a_number():
    for given in (0, np.int64(0), (0,), [0]):
        net = ddopt_patches.fbpinn(square(), along=[4, 3], features=5, periodic=given)
        assert net.grid.patch_shape == (4, 4)


def script(net, equation=laplace):
    geometry = square()
    data = dde.data.PDE(geometry, equation, zero(geometry), num_domain=20, num_boundary=10)
    return dde.Model(data, net)


@pytest.mark.usefixtures("double_in_deepxde")
@pytest.mark.parametrize("weight", [0, -3.0, math.nan, math.inf])
def test_the_weight_of_conditions_is_a_positive_number(weight):
    model = script(ddopt_patches.fbpinn(square(), along=[2, 2], features=9))
    says = f"condition_weight = {weight:g}: expected a positive number, or None"
    with pytest.raises(ValueError, match=says):
        ddopt_patches.compile(model, condition_weight=weight)
    with pytest.raises(ValueError, match="condition_weight"):
        PatchTask.Config(of="multiscale", condition_weight=weight)
    assert PatchTask.Config(of="multiscale", condition_weight=2).condition_weight == 2.0


@pytest.mark.parametrize(
    "equation", [lambda x, u: x[:, :1], lambda x, u: u.detach() - 1.0, lambda x, u: 0.0 * u]
)
def test_an_equation_without_u_is_refused(equation):
    with pytest.raises(ValueError, match=r"does not depend on u; .* from the second argument"):
        system(equation)


def test_an_equation_that_has_no_meaning_for_some_solutions_may_depend_on_u():
    patches = Patches.random(Grid.uniform(((0, 1), (0, 1)), (2, 2)), 9)
    stated = Statement(square(), lambda x, u: torch.log(u - 9.0), [])
    assert stated.equation_at(patches).depends


@pytest.mark.usefixtures("double_in_deepxde")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"along": [3, 2]},
            r"other nodes \(axis 0: 2 cells from 0 to 1, .*and here axis 0: 3 cells",
        ),
        ({"along": [{"cells": 2, "toward": 0.0}, 3]}, r"make the network with the along"),
        ({"window": "c2"}, r"with window = 'c3', and these have 'c2'"),
        ({"along": [2, 4], "periodic": 1}, "other nodes"),
    ],
)
def test_weights_of_other_patches_are_not_loaded(options, says):
    net = ddopt_patches.fbpinn(square(), along=[2, 3], features=5)
    net.weights.data.normal_()
    other = ddopt_patches.fbpinn(square(), **{"along": [2, 3], "features": 5, **options})
    assert other.weights.shape == net.weights.shape
    before = other.weights.detach().clone()
    for strict in (True, False):
        with pytest.raises(ValueError, match=says):
            other.load_state_dict(net.state_dict(), strict=strict)
        with pytest.raises(ValueError, match=says):
            torch.nn.Sequential(other).load_state_dict(torch.nn.Sequential(net).state_dict())
    assert torch.equal(other.weights, before)


@pytest.mark.usefixtures("double_in_deepxde")
def test_a_state_that_does_not_say_where_its_patches_are_loads(tmp_path):
    net = ddopt_patches.fbpinn(square(), along=[2, 3], features=5)
    net.weights.data.normal_()
    state = net.state_dict()
    torch.save(state, tmp_path / "new.pt")
    del state["_extra_state"]
    for one in (state, torch.load(tmp_path / "new.pt", weights_only=True)):
        other = ddopt_patches.fbpinn(square(), along=[2, 3], features=5, seed=3)
        other.load_state_dict(one)
        assert torch.equal(other.weights, net.weights)
    del state["weights"]
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(state)


@pytest.mark.usefixtures("double_in_deepxde")
def test_a_network_in_slabs_knows_the_nodes_of_all_of_them():
    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 2))
    net, same, other = (
        ddopt_patches.fbpinn(domain, along=[2, along], features=5, slabs=2)
        for along in (4, 4, {"cells": 4, "toward": 0.0})
    )
    assert net.get_extra_state()["nodes"] == [[0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.5, 2.0]]
    same.load_state_dict(net.state_dict())
    with pytest.raises(ValueError, match="other nodes"):
        other.load_state_dict(net.state_dict())


@pytest.mark.parametrize("slabs", [0, -2, 2.0, None])
def test_slabs_are_counted_from_one(slabs):
    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))
    with pytest.raises(ValueError, match=f"slabs = {slabs}: expected a whole number, 1 or more"):
        ddopt_patches.fbpinn(domain, along=[4, 4], slabs=slabs)


@pytest.mark.usefixtures("double_in_deepxde")
def test_a_network_in_single_precision_is_told():
    model = script(ddopt_patches.fbpinn(square(), along=[2, 2], features=9))
    ddopt_patches.compile(model)
    model.net.float()
    with pytest.raises(
        ValueError, match=r"weights of this network are in float32; call net.double"
    ):
        ddopt_patches.compile(model)
    with pytest.raises(ValueError, match=r"points are in float64, and the weights .* in float32"):
        model.predict(np.full((1, 2), 0.5))
    single = torch.full((1, 2), 0.5, dtype=torch.float32)
    assert model.net(single).dtype == torch.float32  # both in single: a number
    model.net.double()
    assert model.predict(np.full((1, 2), 0.5)).shape == (1, 1)

"""References satisfy their equations and conditions, and errors are measured against them."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from ddopt_pinn import PROBLEMS, dde
from ddopt_pinn.allen_cahn import lines
from ddopt_pinn.library import numbers
from tests.pinn.problems import prepared, solved_by

REFERRED = sorted(set(PROBLEMS) - {"cavity"})  # that is known at thirty points
CLOSED = sorted(set(PROBLEMS) - {"burgers", "allen_cahn", "cavity"})


class Numpy:
    """numpy's names for torch's functions, so that a closed form can be differentiated."""

    pi = np.pi
    sin, exp, tanh, cos, cosh = torch.sin, torch.exp, torch.tanh, torch.cos, torch.cosh

    @staticmethod
    def asarray(values):
        return torch.tensor(values, dtype=torch.float64)

    @staticmethod
    def sum(values, axis):
        return torch.stack(values).sum(axis)


class Sines(torch.Tensor):
    """A tensor that answers to ``prod(1, keepdims=True)`` as an array does."""

    def prod(self, axis, keepdims):
        return self.as_subclass(torch.Tensor).prod(axis, keepdim=keepdims)


class Closed(Numpy):
    @staticmethod
    def sin(x):
        return torch.sin(x).as_subclass(Sines)


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_form_satisfies_its_equation(name, monkeypatch):
    task = prepared(name, interior=200)
    x = task.problem.coordinates(0).clone().requires_grad_()
    home = __import__(type(task).__module__, fromlist=["np"])
    monkeypatch.setattr(home, "np", Closed)
    u = task.solution(x).as_subclass(torch.Tensor)
    unknown = {key: torch.tensor(value) for key, value in task.truth.items()}
    with numbers(torch.float64, torch.device("cpu")):
        residual = task.equation(x, u, **unknown)
        dde.grad.clear()
    assert float(residual.detach().abs().max()) < 1e-10


@pytest.mark.parametrize("name", ["burgers", "convection", "poisson1d", "poisson2d", "poisson3d"])
def test_an_exact_network_satisfies_the_conditions_that_the_other_is_asked_for(name):
    asked, exact = prepared(name, exact=False), prepared(name, exact=True)
    assert len(exact.problem.samples.counts) == 1
    net = exact._net
    with numbers(torch.float64, torch.device("cpu")):
        found = asked.problem._collocation._on_conditions(
            net, tuple(torch.arange(n) for n in asked.problem.samples.counts[1:])
        )
    assert all(float(error.detach().abs().max()) < 1e-14 for error in found)


@pytest.mark.parametrize("name", REFERRED)
def test_a_reference_satisfies_the_conditions(name):
    task = prepared(name, **({"exact": False} if name == "convection" else {}))
    collocation = task.problem._collocation
    exact = torch.tensor(task.solution(collocation._array))
    with numbers(torch.float64, torch.device("cpu")):
        x = torch.tensor(collocation._array, requires_grad=True)
        for condition, (start, end) in zip(
            collocation._conditions, collocation._ranges, strict=True
        ):
            error = condition.error(collocation._array, x, exact, start, end)
            assert float(error.abs().max()) < 1e-12
        dde.grad.clear()


def test_hard_conditions_hold_for_every_network():
    for name, tolerance in (("allen_cahn", 1e-8), ("diffusion_reaction", 1e-13)):
        task = prepared(name)
        (low, high), (start, end) = task.bounds
        side = np.linspace(low, high, 21)
        edge = np.vstack(
            [
                np.stack([side, np.full(21, start)], 1),
                np.array([[x, t] for x in (low, high) for t in (start, end)]),
            ]
        )
        difference = task.predict(task.initial, edge) - task.solution(edge)
        assert np.abs(difference).max() < tolerance
    odd = prepared("burgers", odd=True)
    u, mirrored = (odd.predict(odd.initial, np.array([[x, 0.5]])) for x in (0.3, -0.3))
    assert u == -mirrored != 0.0
    square = prepared("helmholtz2d")
    edge = np.array([[0.0, 0.3], [1.0, 0.2], [0.4, 0.0], [0.6, 1.0]])
    assert np.abs(square.predict(square.initial, edge)).max() == 0.0


def test_cole_hopf_satisfies_burgers_equation():
    """By central differences, away from the shock; and the rule has converged at the shock."""
    from ddopt_pinn import burgers

    task, h = prepared("burgers"), 1e-4
    points = np.array([[-0.7, 0.3], [-0.3, 0.6], [0.4, 0.8], [0.8, 0.2]])

    def u(dx, dt):
        return task.solution(points + np.array([dx, dt]))

    u_x, u_t = (u(h, 0) - u(-h, 0)) / (2 * h), (u(0, h) - u(0, -h)) / (2 * h)
    u_xx = (u(h, 0) - 2 * u(0, 0) + u(-h, 0)) / h**2
    assert np.abs(u_t + u(0, 0) * u_x - burgers.VISCOSITY * u_xx).max() < 1e-5
    shock = np.stack([np.linspace(-0.05, 0.05, 41), np.full(41, 0.9)], 1)
    coarse = task.solution(shock)
    nodes, burgers.NODES = burgers.NODES, 200
    try:
        assert np.abs(task.solution(shock) - coarse).max() < 1e-9
    finally:
        burgers.NODES = nodes


def test_the_method_of_lines_converges_with_order_two():
    x, t = np.linspace(-1, 1, 81)[:, None], np.linspace(0.1, 1, 10)[None, :]
    solutions = [lines(cells)(x, t, grid=False) for cells in (500, 1000, 2000, 4000)]
    steps = [np.linalg.norm(a - b) for a, b in pairwise(solutions)]
    assert steps[0] / steps[1] == pytest.approx(4.0, rel=0.2)
    assert steps[1] / steps[2] == pytest.approx(4.0, rel=0.2)
    assert steps[2] / np.linalg.norm(solutions[-1]) < 1e-4


@pytest.mark.parametrize("name", REFERRED)
def test_the_exact_solution_has_no_error(name, monkeypatch):
    task = prepared(name)
    assert task.measure(task.initial)["error"] > 1e-2
    solved_by(task, monkeypatch)
    assert task.measure(task.initial)["error"] == 0.0


def test_the_error_is_relative_and_on_the_grid(monkeypatch):
    task = prepared("poisson2d")
    assert task.grid.shape == (101 * 101, 2)
    monkeypatch.setattr(task, "predict", lambda _, points: 1.25 * task.solution(points))
    assert task.measure(task.initial)["error"] == pytest.approx(0.25, rel=1e-14)


def test_an_unknown_coefficient_is_measured():
    task = prepared("diffusion_inverse")
    assert task.problem.layout.names[-1] == "unknowns.coefficient"
    measured = task.measure(task.initial)
    assert measured["coefficient"] == 2.0
    assert measured["coefficient_error"] == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["wave", "reaction", "kdv", "poisson5d"])
def test_what_a_network_has_built_in_is_what_the_solution_has(name):
    task = prepared(name, interior=50)
    low, high = task.bounds.T
    sides = []
    for axis in range(len(low)):
        for end in (low, high):
            if task.axes[axis] == "t" and end is high:
                continue  # the end of time is what is sought
            if name == "reaction" and task.axes[axis] != "t":
                continue  # nothing is given at the ends of space
            x = np.random.default_rng(0).uniform(low, high, (30, len(low)))
            x[:, axis] = end[axis]
            sides.append(x)
    x = np.concatenate(sides)
    for theta in (task.initial, 2.0 * task.initial):
        assert task.predict(theta, x) == pytest.approx(task.solution(x), abs=1e-12)


def test_the_flow_in_the_cavity_is_told_by_its_tables():
    task = prepared("cavity", interior=20, boundary=8)
    assert 0.5 < task.measure(task.initial)["error"] < 5.0
    x = torch.rand(40, 2, dtype=torch.float64, requires_grad=True)
    # u = y², v = x², p = 0: no mass is lost; momentum is v u_y − 2/Re and u v_x − 2/Re.
    w = torch.cat([x[:, 1:] ** 2, x[:, :1] ** 2, 0.0 * x[:, :1]], 1)
    with numbers(torch.float64, torch.device("cpu")):
        first, second, mass = (one.detach() for one in task.equation(x, w))
        dde.grad.clear()
    s, t = x.detach()[:, :1], x.detach()[:, 1:]
    near = torch.minimum(s**2, (1.0 - s) ** 2) + (1.0 - t) ** 2
    factor = (near / (near + 0.01)).sqrt()
    assert torch.allclose(mass, torch.zeros_like(mass))
    assert torch.allclose(first, factor * (2.0 * s**2 * t - 0.02))
    assert torch.allclose(second, factor * (2.0 * t**2 * s - 0.02))


def test_helmholtz_has_the_wave_number_that_is_asked_for():
    task = prepared("helmholtz2d", interior=10, waves=8)
    assert task.solution(np.array([[1.0 / 16.0, 1.0 / 16.0]])) == pytest.approx(1.0)

"""Jacobians by derivatives that travel through the layers, against a backward pass per residual."""

import numpy as np
import pytest
import torch
from torch import nn

from ddopt.evaluation.derived import held
from ddopt.evaluation.problem import Samples
from ddopt_pinn import PROBLEMS, dde
from ddopt_pinn.jacobian import per_residual
from ddopt_pinn.library import building
from ddopt_pinn.model import ModelProblem
from tests.pinn.problems import halves, prepared


def derivative(u, x, *coordinates):
    """∂u_0/∂x_i ..., (points, 1)."""
    y = u[:, :1]
    for i in coordinates:
        y = torch.autograd.grad(y.sum(), x, create_graph=True)[0][:, i : i + 1]
    return y


# Each with the channels of its interior points, or None where another way must be taken.
EQUATIONS = {
    "transport": (lambda x, u: derivative(u, x, 1) + 3.0 * derivative(u, x, 0), 3),
    "Burgers": (
        lambda x, u: derivative(u, x, 1) + u[:, :1] * derivative(u, x, 0) - derivative(u, x, 0, 0),
        4,
    ),
    "Laplace": (lambda x, u: derivative(u, x, 0, 0) + derivative(u, x, 1, 1), 4),
    "anisotropic": (lambda x, u: derivative(u, x, 0, 0) + 2.0 * derivative(u, x, 1, 1), 5),
    "mixed": (lambda x, u: derivative(u, x, 0, 1) - torch.exp(u[:, :1]), 4),
    "Monge-Ampère": (
        lambda x, u: derivative(u, x, 0, 0) * derivative(u, x, 1, 1) - derivative(u, x, 0, 1) ** 2,
        6,
    ),
    "variable coefficient": (
        lambda x, u: x[:, :1] * derivative(u, x, 0, 0) + derivative(u, x, 1),
        4,
    ),
    "minimal surface": (
        lambda x, u: derivative(
            derivative(u, x, 0) / (1.0 + derivative(u, x, 0) ** 2).sqrt(), x, 0
        ),
        3,
    ),
    "Korteweg-de Vries": (
        lambda x, u: derivative(u, x, 1) + u * derivative(u, x, 0) + derivative(u, x, 0, 0, 0),
        5,
    ),
    "Kuramoto-Sivashinsky": (
        lambda x, u: derivative(u, x, 1) + derivative(u, x, 0, 0) + derivative(u, x, 0, 0, 0, 0),
        6,
    ),
    "fifth order": (lambda x, u: derivative(u, x, 0, 0, 0, 0, 0), None),
}


def problem_of(equation, net, conditions=()):
    with building(0, torch.float64):
        square = dde.geometry.Rectangle([-1, -1], [1, 1])
        data = dde.data.PDE(square, equation, [one(square) for one in conditions], 30, 12)
        model = dde.Model(data, net())
    problem = ModelProblem(model)
    theta = torch.cat([p.detach().reshape(-1) for p in model.net.parameters()])
    return problem, theta


def fnn(activation="tanh", outputs=1):
    return dde.nn.FNN([2, 7, 6, outputs], activation, "Glorot normal")


def agree(problem, theta, rtol=1e-10):
    found, wanted = problem.jacobian(theta), per_residual(problem.residuals, theta)
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=rtol * float(wanted.abs().max()))


ACTIVATIONS = ["tanh", "sin", "gelu", "silu", "sigmoid", ["sin", "tanh", "tanh"]]


@pytest.mark.parametrize("name", EQUATIONS)
def test_any_equation_carries_what_it_reads(name):
    equation, channels = EQUATIONS[name]
    problem, theta = problem_of(equation, fnn)
    agree(problem, theta)
    way = problem.differentiation
    assert way.way == ("propagated" if channels else "per point")
    if channels:
        assert len(way._selections[0].jets) == channels


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_any_activation(activation):
    problem, theta = problem_of(EQUATIONS["Burgers"][0], lambda: fnn(activation))
    agree(problem, theta)
    assert problem.differentiation.way == "propagated"


def test_conditions_with_one_point_two_points_and_derivatives():
    everywhere = lambda x, on: on  # noqa: E731
    left = lambda x, on: on and np.isclose(x[0], -1)  # noqa: E731
    conditions = [
        lambda g: dde.icbc.DirichletBC(g, lambda x: x[:, :1], everywhere),
        lambda g: dde.icbc.NeumannBC(g, lambda x: x[:, :1], everywhere),
        lambda g: dde.icbc.RobinBC(g, lambda x, u: u**2, everywhere),
        lambda g: dde.icbc.PeriodicBC(g, 0, left),
        lambda g: dde.icbc.PeriodicBC(g, 0, left, derivative_order=1),
        lambda g: dde.icbc.OperatorBC(g, lambda x, u, X: derivative(u, x, 0, 0), everywhere),
    ]
    problem, theta = problem_of(EQUATIONS["Laplace"][0], fnn, conditions)
    for samples in (problem.samples, *halves(problem)):
        agree(problem.part(samples), theta)
    assert problem.differentiation.way == "propagated"


def test_systems():
    def stokes(x, u):
        p = u[:, 1:2]
        return [
            derivative(u, x, 0, 0) - torch.autograd.grad(p.sum(), x, create_graph=True)[0][:, :1],
            p * derivative(u, x, 1),
        ]

    problem, theta = problem_of(stokes, lambda: fnn(outputs=2))
    agree(problem, theta)
    assert problem.differentiation.way == "propagated"


def test_transforms_of_input_and_output():
    def net():
        one = dde.nn.FNN([4, 7, 1], "tanh", "Glorot normal")
        one.apply_feature_transform(lambda x: torch.cat([torch.sin(3 * x), torch.cos(x)], 1))
        one.apply_output_transform(lambda x, u: x[:, :1] + (1.0 - x[:, 1:] ** 2) * u)
        return one

    problem, theta = problem_of(EQUATIONS["Burgers"][0], net)
    agree(problem, theta)
    assert problem.differentiation.way == "propagated"


def test_a_sequence_of_layers_and_frozen_parameters():
    inner = nn.Sequential(nn.Linear(5, 5, dtype=torch.float64), nn.GELU())
    net = nn.Sequential(
        nn.Linear(2, 5, dtype=torch.float64), nn.Tanh(), inner, nn.Linear(5, 1, dtype=torch.float64)
    )
    net.regularizer = None
    problem, theta = problem_of(EQUATIONS["Laplace"][0], lambda: net)
    agree(problem, theta)
    assert problem.differentiation.way == "propagated"
    local = held(problem, problem.at(theta), torch.arange(15, 45))
    agree(local, theta[15:45])


def test_an_odd_network():
    task = prepared("burgers", odd=True)
    agree(task.problem, task.initial)
    assert task.problem.differentiation.way == "propagated"


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_problems_of_the_project_take_the_fast_way(name):
    task = prepared(name)
    agree(task.problem, task.initial)
    assert task.problem.differentiation.way == "propagated"
    moved = getattr(task.problem, "moved", None)
    if moved is not None:
        inside = task.problem.coordinates(0).numpy()
        assert moved(inside).differentiation is task.problem.differentiation


def test_float32_rows_are_those_of_float64_rounded():
    task = prepared("burgers")
    exact = task.problem.jacobian(task.initial)
    rough = task.problem.jacobian(task.initial, torch.float32)
    assert rough.dtype == torch.float32
    off = (rough.double() - exact).norm() / exact.norm()
    assert 1e-9 < float(off) < 1e-5  # computed in float32, not rounded afterwards


def test_an_equation_that_reads_more_later_is_looked_at_again():
    more = [False]

    def equation(x, u):
        found = derivative(u, x, 0, 0)
        return found + derivative(u, x, 1, 1) * u[:, :1] if more[0] else found

    problem, theta = problem_of(equation, fnn)
    agree(problem, theta)
    more[0] = True
    agree(problem, theta)
    assert len(problem.differentiation._selections[0].jets) == 5


def test_an_equation_that_couples_points_takes_the_way_that_sees_it():
    problem, theta = problem_of(lambda x, u: u - u.mean(), fnn)
    agree(problem, theta)
    assert problem.differentiation.way == "per residual"


def test_empty_terms():
    problem, theta = problem_of(EQUATIONS["Burgers"][0], fnn)
    nothing = problem.part(Samples(tuple(torch.arange(0) for _ in problem.samples.terms)))
    assert nothing.jacobian(theta).shape == (0, len(theta))

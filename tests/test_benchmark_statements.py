"""The statements of the Gauss-Newton table: solutions that solve, and conditions that are kept."""

import runpy

import pytest
import torch

from tests.runs import ROOT

FOUND = runpy.run_path(str(ROOT / "examples/benchmarks/gauss_newton_statements.py"))
NAMES = ["Poisson", "Helmholtz", "Poisson5", "Wave", "FasterWave", "KdV", "Reaction"]
IN_TIME = ["Wave", "FasterWave", "KdV", "Reaction"]  # the last coordinate is the time


def points(statement, count=20):
    low, high = (torch.tensor(one, dtype=torch.float64) for one in (statement.low, statement.high))
    unit = torch.rand(
        count, len(low), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return (low + (high - low) * unit).requires_grad_()


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_satisfies_the_equation(name):
    statement = FOUND[name]()
    x = points(statement)
    u = statement.exact(x)
    assert float(statement.equation(x, u).detach().abs().max()) < 1e-9
    wrong = statement.equation(x, u + (x * x).sum(1, keepdim=True) ** 2)
    assert float(wrong.detach().abs().max()) > 0.1


@pytest.mark.parametrize("name", IN_TIME)
def test_whatever_the_network_says_the_start_is_that_of_the_solution(name):
    statement = FOUND[name]()
    x = points(statement).detach()
    x[:, 1] = 0.0
    x.requires_grad_()
    net = torch.cos(3.0 * x.sum(1, keepdim=True))
    torch.testing.assert_close(statement.u(x, net), statement.exact(x))
    if name in ("Wave", "FasterWave"):  # of second order in time
        (slope,) = torch.autograd.grad(statement.u(x, net).sum(), x)
        torch.testing.assert_close(slope[:, 1], torch.zeros_like(slope[:, 1]))


@pytest.mark.parametrize("name", ["Wave", "FasterWave"])
def test_the_size_of_the_wave_is_that_of_its_second_derivative_at_the_start(name):
    """|u_tt| = 4 |u_xx| <= 4π² + 2β²π², and nearly as large somewhere."""
    statement = FOUND[name]()
    x = torch.zeros(2001, 2, dtype=torch.float64)
    x[:, 0] = torch.linspace(0.0, 1.0, 2001, dtype=torch.float64)
    x.requires_grad_()
    derivative = FOUND["derivative"]
    u_tt = derivative(derivative(statement.exact(x), x, 1), x, 1)
    assert 0.8 * statement.size < float(u_tt.detach().abs().max()) <= statement.size * (1.0 + 1e-12)

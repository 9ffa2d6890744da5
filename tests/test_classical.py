"""The classical problems are those of the literature: values at the start, minima, gradients."""

import runpy

import pytest
import torch

from ddopt import TrustRegion
from tests.runs import ROOT

PROBLEMS = {
    problem.name: problem
    for problem in runpy.run_path(str(ROOT / "examples/benchmarks/classical_problems.py"))[
        "problems"
    ]()
}
# f(x_0); most are squares of the residual norms in the output of MINPACK's own test drivers.
START = {
    "Rosenbrock": 24.2,
    "Freudenstein and Roth": 400.5,
    "Powell badly scaled": 1.135262,
    "Brown badly scaled": 9.99998e11,
    "Beale": 14.203125,
    "Jennrich and Sampson": 64.58565**2,
    "Helical valley": 2500.0,
    "Bard": 6.456136**2,
    "Gaussian": 3.888107e-6,
    "Meyer": 41153.47**2,
    "Gulf research": 12.11070,
    "Box, three dimensions": 32.11158**2,
    "Powell singular": 215.0,
    "Wood": 19192.0,
    "Kowalik and Osborne": 0.07289151**2,
    "Brown and Dennis": 2815.438**2,
    "Osborne 1": 0.9375640**2,
    "Biggs EXP6": 0.7790701,
    "Osborne 2": 1.446865**2,
    "Watson, 6": 30.0,
    "Watson, 12": 30.0,
    "Extended Rosenbrock, 200": 2420.0,
    "Extended Powell, 200": 10750.0,
    "Penalty I, 10": 148032.6,
    "Penalty II, 10": 162.6528,
    "Brown almost linear, 10": 16.53022**2,
    "Linear, full rank, 100": 500.0,
    "Chebyquad, 8": 0.1965139**2,
}
# x* where the literature has it in full, and f there is 0.
ROOTS = {
    "Rosenbrock": [1.0, 1.0],
    "Freudenstein and Roth": [5.0, 4.0],
    "Brown badly scaled": [1e6, 2e-6],
    "Beale": [3.0, 0.5],
    "Helical valley": [1.0, 0.0, 0.0],
    "Gulf research": [50.0, 25.0, 1.5],
    "Box, three dimensions": [1.0, 10.0, 1.0],
    "Powell singular": [0.0] * 4,
    "Wood": [1.0] * 4,
    "Biggs EXP6": [1.0, 10.0, 1.0, 5.0, 4.0, 3.0],
    "Extended Rosenbrock, 200": [1.0] * 200,
    "Variably dimensioned, 50": [1.0] * 50,
    "Brown almost linear, 10": [1.0] * 10,
}


def test_there_are_36_problems_of_2_to_200_parameters():
    sizes = [len(problem.start) for problem in PROBLEMS.values()]
    assert (len(PROBLEMS), min(sizes), max(sizes)) == (36, 2, 200)
    assert all(problem.start.dtype == torch.float64 for problem in PROBLEMS.values())


@pytest.mark.parametrize("name", START)
def test_the_value_at_the_start_is_known(name):
    problem = PROBLEMS[name]
    assert float(problem.f(problem.start)) == pytest.approx(START[name], rel=1e-6)


@pytest.mark.parametrize("name", ROOTS)
def test_the_minimum_is_where_it_is_known_to_be(name):
    problem = PROBLEMS[name]
    x = torch.tensor(ROOTS[name], dtype=torch.float64)
    value, gradient = problem.value_and_gradient(x)
    assert problem.minima[0] == 0.0
    assert value < 1e-20
    assert float(gradient.abs().max()) < 1e-9


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_gradient_is_that_of_the_values(name):
    problem = PROBLEMS[name]
    generator = torch.Generator().manual_seed(0)
    along = torch.randn(len(problem.start), generator=generator, dtype=torch.float64)
    along /= along.norm()
    x = problem.start + 0.0
    slope = float(problem.value_and_gradient(x)[1] @ along)
    h = 1e-5 * max(float(x.norm()), 1e-2) * (0.01 if name == "Meyer" else 1.0)
    values = [float(problem.f(x + k * h * along)) for k in (-2, -1, 1, 2)]
    central = (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / (12.0 * h)
    assert slope == pytest.approx(central, rel=1e-5, abs=1e-9 * max(map(abs, values)) / h)


@pytest.mark.parametrize(
    "name", [p.name for p in PROBLEMS.values() if p.minima[0] > 0.0 and p.name != "Meyer"]
)
def test_the_positive_minima_are_found(name):
    problem = PROBLEMS[name]
    x = problem.start.clone().requires_grad_()
    optimizer = TrustRegion([x], stochastic=False)

    def closure():
        value, x.grad = problem.value_and_gradient(x.detach())
        return torch.tensor(value, dtype=torch.float64)

    for _ in range(100):
        optimizer.step(closure)
    assert any(optimizer.report.loss == pytest.approx(least, rel=1e-3) for least in problem.minima)

"""Damped least squares by products alone."""

import math

import pytest
import torch

from ddopt.evaluation.jacobian import Products
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Point
from ddopt.hessian import conjugate_gradients
from ddopt.hessian.conjugate_gradients import Iterated, IterativeEquations, RecycledPairs
from ddopt.solver import levenberg_marquardt
from ddopt.solver.levenberg_marquardt import LevenbergMarquardt
from ddopt.testing.problems import CurvedLeastSquares
from tests.test_rows import Fit


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Counted(Products):
    """Products with a matrix, counted."""

    def __init__(self, J):
        super().__init__(J[:, 0], J.shape[1], (self.forward, lambda w: J.T @ w))
        self.J, self.calls = J, 0

    def forward(self, v):
        self.calls += 1
        return self.J @ v


@pytest.fixture
def exactly(monkeypatch):
    monkeypatch.setattr(conjugate_gradients, "ENOUGH", 1e-12)
    monkeypatch.setattr(conjugate_gradients, "MOST", 800)
    monkeypatch.setattr(conjugate_gradients, "STEP", 400)
    monkeypatch.setattr(conjugate_gradients, "KEPT", 200)


@pytest.mark.parametrize("shape", [(6, 15), (40, 15)])
@pytest.mark.parametrize("damping", [1e-2, 10.0])
def test_it_solves_the_damped_normal_equations(exactly, shape, damping):
    J, e = numbers(*shape), numbers(shape[0], seed=1)
    x = Iterated(Counted(J), damping, RecycledPairs()).fitted(e)
    torch.testing.assert_close(J.T @ (J @ x) + damping * x, J.T @ e)
    v = numbers(shape[1], seed=2)
    y = Iterated(Counted(J), damping, RecycledPairs()).inverse(v)
    torch.testing.assert_close(J.T @ (J @ y) + damping * y, v)


def test_it_takes_as_many_products_as_there_are_different_eigenvalues(exactly):
    Q, _ = torch.linalg.qr(numbers(15, 15))
    J = torch.diag(torch.tensor([1.0] * 5 + [3.0] * 5 + [7.0] * 5, dtype=torch.float64)) @ Q
    counted = Counted(J)
    Iterated(counted, 0.5, RecycledPairs()).fitted(numbers(15, seed=1))
    assert counted.calls == 3


def test_the_pairs_of_a_solve_precondition_the_next(exactly):
    """All directions known, their L-BFGS matrix is the inverse: one product is enough."""
    J = numbers(40, 15)
    pairs, counted = RecycledPairs(), Counted(J)
    Iterated(counted, 0.5, pairs).fitted(numbers(40, seed=1))
    first, counted.calls = counted.calls, 0
    x = Iterated(counted, 0.5, pairs).fitted(numbers(40, seed=2))
    torch.testing.assert_close(J.T @ (J @ x) + 0.5 * x, J.T @ numbers(40, seed=2))
    assert first >= 15
    assert counted.calls <= 2


def test_a_solve_is_stopped_early():
    counted = Counted(numbers(400, 300) * torch.logspace(0.0, -4.0, 300, dtype=torch.float64))
    Iterated(counted, 1e-8, RecycledPairs()).fitted(numbers(400, seed=1))
    assert counted.calls == conjugate_gradients.STEP // 2


@pytest.mark.parametrize("anew", [False, True])
def test_step_and_corrections_share_an_allowance(anew):
    """A correction takes Jᵀe and then products by twos; one that would get none is zero.

    Where each product builds its graph again there are half as many.
    """
    counted = Counted(numbers(400, 300) * torch.logspace(0.0, -4.0, 300, dtype=torch.float64))
    counted.graph_anew = anew
    equations = Iterated(counted, 1e-8, RecycledPairs())
    equations.fitted(numbers(400, seed=1))
    corrections = [equations.fitted(numbers(400, seed=2)) for _ in range(3)]
    assert [bool(one.any()) for one in corrections] == [True, False, False]
    assert counted.calls == (conjugate_gradients.MOST // (1 + anew) - 1) // 2


def test_the_pullback_of_the_residuals_is_made_once():
    """The step, the scale of the damping, and whether J is finite all need it."""
    J, r, calls = numbers(8, 5), numbers(8, seed=1), []
    known = Products(r, 5, (lambda v: J @ v, lambda w: calls.append(w) or J.T @ w))
    assert known.finite
    equations = IterativeEquations(known, r, RecycledPairs())
    torch.testing.assert_close(known.pullback(r), J.T @ r)
    torch.testing.assert_close(known.pullback(2.0 * r), 2.0 * (J.T @ r))
    assert equations.scale == pytest.approx(float((J @ (J.T @ r)).norm() / (J.T @ r).norm()) ** 2)
    assert len(calls) == 2


@pytest.mark.parametrize("piece", [50, 200])
def test_an_iteration_costs_60_evaluations_at_most(monkeypatch, piece):
    """Also where each product builds its graph again, and the steps are corrected and rejected."""
    monkeypatch.setattr(levenberg_marquardt, "PIECE", piece)
    problem = Fit.random(160, 90)
    problem.A *= torch.logspace(0.0, -3.0, 90, dtype=torch.float64)
    meter = Meter()
    start = torch.zeros(90, dtype=torch.float64)
    solver, point = LevenbergMarquardt(dense=0), Metered(problem, meter).at(start)
    prices, accepted = [], 0
    for _ in range(25):
        meter.reset()
        found = solver.solve(Metered(problem, meter), point, math.inf, 1)
        prices.append(meter.total)
        point, accepted = found.end, accepted + found.accepted
    assert max(prices) <= 60.0
    assert max(prices) > 40.0  # some solve took all that it may
    assert accepted > 10


def test_pairs_are_saved_with_their_bits():
    pairs = RecycledPairs()
    Iterated(Counted(numbers(40, 15)), 0.5, pairs).fitted(numbers(40, seed=1))
    other = RecycledPairs()
    other.load_state_dict(pairs.state_dict())
    v = numbers(15, seed=3)
    assert torch.equal(other.apply(v), pairs.apply(v))
    assert len(other) == len(pairs) <= conjugate_gradients.KEPT


def test_products_that_are_not_finite_give_no_step():
    J = numbers(6, 15)
    J[0, 0] = math.nan
    with pytest.raises(ArithmeticError, match="along the gradient is nan"):
        IterativeEquations(Counted(J), numbers(6), RecycledPairs()).damped(1.0)


def test_levenberg_marquardt_without_a_matrix():
    problem = CurvedLeastSquares.random(40, 15)
    start = problem.at(torch.zeros(15, dtype=torch.float64))
    exact = LevenbergMarquardt().solve(problem, start, math.inf, 60)
    solver = LevenbergMarquardt(dense=0)
    problem.jacobian = None  # nobody asks for it
    free = solver.solve(problem, start, math.inf, 60)
    assert free.end.value == pytest.approx(exact.end.value, rel=1e-8)


def test_without_a_matrix_a_run_resumes_with_the_same_bits():
    problem = CurvedLeastSquares.random(40, 15)

    def iterate(solver, point, count):
        for _ in range(count):
            point = solver.solve(problem, point, math.inf, 1).end
        return point

    start = problem.at(torch.zeros(15, dtype=torch.float64))
    whole = iterate(LevenbergMarquardt(dense=0), start, 12)
    first = LevenbergMarquardt(dense=0)
    half = iterate(first, start, 5)
    second = LevenbergMarquardt(dense=0)
    second.load_state_dict(first.state_dict())
    rest = iterate(second, Point(half.theta.clone(), half.value, half.gradient), 7)
    assert torch.equal(rest.theta, whole.theta)

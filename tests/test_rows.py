"""Jacobians whose rows are shared out: the same bits on any number of processes."""

import math

import pytest
import torch

from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.executor import Serial, Split
from ddopt.hessian.linear_residuals import LinearResiduals
from ddopt.numerics.space import Layout
from ddopt.solver.least_squares import LeastSquares
from ddopt.solver.levenberg_marquardt import LevenbergMarquardt
from ddopt.testing.ranks import run_ranks


class Fit(Problem):
    """f(x) = (1/m) Σ_i (tanh(a_iᵀx) − t_i)², a mean over its samples."""

    def __init__(self, A, t, samples=None, count=None):
        self.A, self.t, self.layout = A, t, Layout.flat(A.shape[1])
        self.samples = samples or Samples.all(len(t))
        self.count = count or len(t)
        self.cost = len(self.samples) / len(t)

    @classmethod
    def random(cls, rows, columns):
        generator = torch.Generator().manual_seed(0)
        A = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        return cls(A, torch.rand(rows, generator=generator, dtype=torch.float64))

    def residuals(self, theta):
        index = self.samples.terms[0]
        return (torch.tanh(self.A[index] @ theta) - self.t[index]) / self.count**0.5

    def at(self, theta):
        leaf = theta.detach().requires_grad_()
        with torch.enable_grad():
            f = self.residuals(leaf).square().sum()
        return Point(theta, f.item(), torch.autograd.grad(f, leaf)[0])

    def part(self, samples):
        return Fit(self.A, self.t, samples, len(samples))

    def share(self, samples):
        return Fit(self.A, self.t, samples, self.count)


SHAPES = {"few residuals": (9, 14), "many residuals": (31, 6)}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shares_have_the_residuals_and_the_jacobian_of_the_whole(shape):
    whole = Fit.random(*shape)
    split = Split(whole, 3, Serial())
    theta = torch.linspace(-1.0, 1.0, shape[1], dtype=torch.float64)
    r, J = split.residuals(theta), split.jacobian(theta)
    order = torch.cat([s.samples.terms[0] for s in split._shares.values()])
    torch.testing.assert_close(r, whole.residuals(theta)[order])
    torch.testing.assert_close(J, whole.jacobian(theta)[order])
    rows = split.linearised(theta)
    v, w = theta.flip(0), r.flip(0)
    torch.testing.assert_close(rows.product(v), J @ v)
    torch.testing.assert_close(rows.pullback(w), J.T @ w)
    torch.testing.assert_close(rows.gram(), J @ J.T if rows.dual else J.T @ J)
    assert rows.finite
    assert split.linearised(theta, torch.float32).dtype == torch.float32
    model = LinearResiduals(rows, r)
    reference = LinearResiduals(whole.linearised(theta), whole.residuals(theta))
    torch.testing.assert_close(model.at(1e-3).step, reference.at(1e-3).step, rtol=1e-7, atol=1e-9)


def trained(executor, shape, solver, iterations, shares=5):
    problem = Split(Fit.random(*shape), shares, executor)
    point = problem.at(torch.zeros(shape[1], dtype=torch.float64))
    answer = solver().solve(problem, point, math.inf, iterations)
    return answer.end.theta, answer.end.value


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize(("solver", "iterations"), [(LevenbergMarquardt, 12), (LeastSquares, 50)])
def test_any_number_of_processes_gives_the_same_bits(shape, world_size, solver, iterations):
    case = (shape, solver, iterations)
    theta, value = trained(Serial(), *case)
    for other, number in run_ranks(lambda executor: trained(executor, *case), world_size):
        assert torch.equal(other, theta)
        assert number == value


def test_a_gram_matrix_travels_as_its_triangle():
    def sent(executor):
        problem = Split(Fit.random(31, 6), 2, executor)
        rows = problem.linearised(torch.zeros(6, dtype=torch.float64))
        before = executor.bytes_sent
        rows.gram()
        return executor.bytes_sent - before

    triangle = 6 * 7 // 2 * 8
    for found in run_ranks(sent, 2):
        assert found <= 2 * triangle


def test_one_share_that_is_not_finite_is_known_to_all():
    problem = Fit.random(31, 6)
    problem.A[30, 0] = math.nan
    split = Split(problem, 4, Serial())
    assert not split.linearised(torch.zeros(6, dtype=torch.float64)).finite


@pytest.mark.parametrize("world_size", [1, 3])
def test_products_of_shares_are_those_of_their_rows(world_size):
    theta = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)

    def products(executor):
        split = Split(Fit.random(31, 6), 4, executor)
        product, pullback = split.differential(theta)
        return product(theta), pullback(split.residuals(theta))

    split = Split(Fit.random(31, 6), 4, Serial())
    J, r = split.jacobian(theta), split.residuals(theta)
    found = [products(Serial())] if world_size == 1 else run_ranks(products, world_size)
    for image, pulled in found:
        torch.testing.assert_close(image, J @ theta)
        torch.testing.assert_close(pulled, J.T @ r)
        assert torch.equal(image, found[0][0])


def test_without_a_matrix_the_samples_come_in_pieces(monkeypatch):
    from ddopt.solver import levenberg_marquardt

    monkeypatch.setattr(levenberg_marquardt, "PIECE", 10)
    problem = Fit.random(31, 6)
    start = problem.at(torch.zeros(6, dtype=torch.float64))
    exact = LevenbergMarquardt().solve(problem, start, math.inf, 40)
    sizes = []
    inner = Fit.differential
    monkeypatch.setattr(
        Fit, "differential", lambda self, x: sizes.append(len(self.samples)) or inner(self, x)
    )
    pieces = LevenbergMarquardt(dense=0).solve(problem, start, math.inf, 80)
    assert pieces.end.value == pytest.approx(exact.end.value, rel=1e-6)
    assert max(sizes) <= 10

"""Jacobians of residuals: what every problem answers, whatever it wraps."""

import pytest
import torch

from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.derived import Frozen
from ddopt.evaluation.problem import Problem
from ddopt.evaluation.scaled import Scaled
from ddopt.numerics.space import Layout
from ddopt.testing.problems import CurvedLeastSquares


def problems():
    inner = CurvedLeastSquares.random(rows=7, columns=5)
    theta = torch.linspace(-0.5, 0.7, 5, dtype=torch.float64)
    point = inner.at(theta)
    wanted = torch.arange(5, dtype=torch.float64)
    indices = torch.tensor([0, 3, 4])
    return {
        "plain": (inner, theta),
        "scaled": (Scaled(inner, 3.0), theta),
        "consistent": (Consistent(inner, point, wanted), theta + 0.1),
        "frozen": (Frozen(inner, theta, indices), theta[indices] - 0.2),
        "scaled, consistent": (Scaled(Consistent(inner, point, wanted), 0.5), theta),
        "frozen, consistent": (
            Frozen(Consistent(inner, point, wanted), theta, indices),
            theta[indices],
        ),
    }


@pytest.mark.parametrize("name", problems())
def test_residuals_their_jacobian_and_the_tilt_make_the_gradient(name):
    problem, theta = problems()[name]
    r, J = problem.residuals(theta).detach(), problem.jacobian(theta)
    tilt = torch.zeros_like(theta) if problem.tilt is None else problem.tilt
    torch.testing.assert_close(problem.at(theta).gradient, 2.0 * J.T @ r + tilt)
    # f = ‖r‖² + <t, θ − θ_0>: what is left of two values is the linear term
    other = theta + 0.3
    s = problem.residuals(other).detach()
    change = float(s @ s - r @ r + tilt @ (other - theta))
    assert problem.at(other).value - problem.at(theta).value == pytest.approx(change, rel=1e-12)


@pytest.mark.parametrize("name", problems())
def test_a_jacobian_comes_in_the_precision_that_was_asked_for(name):
    problem, theta = problems()[name]
    exact = problem.jacobian(theta)
    assert exact.dtype == theta.dtype
    assert not exact.requires_grad
    rough = problem.jacobian(theta, torch.float32)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough.double(), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", problems())
def test_products_are_those_of_the_jacobian(name):
    problem, theta = problems()[name]
    J = problem.jacobian(theta)
    product, pullback = problem.differential(theta)
    for seed in (0, 1):  # several products at one point
        generator = torch.Generator().manual_seed(seed)
        v = torch.randn(J.shape[1], generator=generator, dtype=torch.float64)
        w = torch.randn(J.shape[0], generator=generator, dtype=torch.float64)
        torch.testing.assert_close(product(v), J @ v)
        torch.testing.assert_close(pullback(w), J.T @ w)


def test_a_problem_without_residuals_says_so():
    class Bare(Problem):
        layout = Layout.flat(2)

        def at(self, theta):
            raise AssertionError

    with pytest.raises(ValueError, match="cannot give its residuals"):
        Bare().jacobian(torch.zeros(2))
    with pytest.raises(ValueError, match="cannot give its residuals"):
        Bare().differential(torch.zeros(2))

"""Curvature: limited-memory matrices against dense recursions, Gauss-Newton against J."""

import numpy as np
import pytest
import torch

from ddopt.evaluation.jacobian import Dense
from ddopt.evaluation.meter import RESIDUALS, Meter, Metered
from ddopt.evaluation.problem import Point, Problem
from ddopt.hessian.exact import Exact
from ddopt.hessian.gauss_newton import GaussNewton
from ddopt.hessian.lbfgs import LBFGS
from ddopt.hessian.linear_residuals import LinearResiduals
from ddopt.hessian.lsr1 import LSR1
from ddopt.numerics.space import Layout
from ddopt.subproblem.obs import OBS
from ddopt.testing.problems import rotated_quadratic

N = 12


def pairs(count, seed=0, convex=False):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(N, N, generator=generator, dtype=torch.float64)
    A = A @ A.T + torch.eye(N) if convex else A + A.T
    S = torch.randn(count, N, generator=generator, dtype=torch.float64)
    return S, S @ A


def dense(model):
    return torch.stack([model.mv(row) for row in torch.eye(N, dtype=torch.float64)])


def dense_bfgs(S, Y, gamma):
    B = gamma * torch.eye(N, dtype=torch.float64)
    for s, y in zip(S, Y, strict=True):
        Bs = B @ s
        B = B - torch.outer(Bs, Bs) / (s @ Bs) + torch.outer(y, y) / (s @ y)
    return B


def dense_sr1(S, Y, gamma):
    B = gamma * torch.eye(N, dtype=torch.float64)
    for s, y in zip(S, Y, strict=True):
        r = y - B @ s
        if abs(r @ s) >= 1e-8 * r.norm() * s.norm():
            B = B + torch.outer(r, r) / (r @ s)
    return B


POINT = Point(torch.zeros(N, dtype=torch.float64), 0.0, torch.ones(N, dtype=torch.float64))
NOTHING = rotated_quadratic(N)


@pytest.mark.parametrize("memory", [1, 3, 8])
@pytest.mark.parametrize(("kind", "recursion"), [(LBFGS, dense_bfgs), (LSR1, dense_sr1)])
def test_compact_matrix_is_the_dense_recursion(kind, recursion, memory):
    hessian = kind(memory=memory, **({"eigenvalues": "signed"} if kind is LSR1 else {}))
    S, Y = pairs(10, convex=kind is LBFGS)
    if kind is LBFGS:
        Y = S  # no damping: every sᵀy is large
        Y = S @ torch.diag(torch.linspace(1, 5, N, dtype=torch.float64))
    for s, y in zip(S, Y, strict=True):
        hessian.update(s, y)
        stored = min(len(hessian.pairs), memory)
        assert stored <= memory
    model = hessian.model(NOTHING, POINT)
    kept = slice(len(S) - memory, None)
    expected = recursion(S[kept], Y[kept], hessian.gamma())
    assert torch.allclose(dense(model), expected, rtol=1e-9, atol=1e-9)


def test_absolute_eigenvalues_are_those_of_the_signed_matrix():
    S, Y = pairs(6, seed=2)
    signed, absolute = LSR1(memory=6, eigenvalues="signed"), LSR1(memory=6)
    for s, y in zip(S, Y, strict=True):
        signed.update(s, y)
        absolute.update(s, y)
    a, b = (torch.linalg.eigvalsh(dense(h.model(NOTHING, POINT))) for h in (signed, absolute))
    assert a.min() < 0.0 < b.min()
    assert torch.allclose(a.abs().sort().values, b, rtol=1e-8)


@pytest.mark.parametrize("kind", [LBFGS, LSR1])
def test_secant_equation(kind):
    hessian = kind(memory=5)
    S, Y = pairs(3, convex=True)
    for s, y in zip(S, Y, strict=True):
        hessian.update(s, y)
        assert torch.allclose(hessian.model(NOTHING, POINT).mv(s), y, rtol=1e-9, atol=1e-9)


def test_sr1_is_exact_on_a_quadratic_after_n_steps():
    problem = rotated_quadratic(N, condition=1e3)
    hessian = LSR1(memory=N)
    for s in torch.eye(N, dtype=torch.float64):
        hessian.update(s, problem.A @ s)
    assert torch.allclose(dense(hessian.model(problem, POINT)), problem.A, rtol=1e-8, atol=1e-8)


def test_damping_keeps_bfgs_positive_definite():
    hessian = LBFGS(memory=6)
    S, Y = pairs(9, seed=1)  # indefinite curvature
    for s, y in zip(S, Y, strict=True):
        hessian.update(s, y)
    assert torch.linalg.eigvalsh(dense(hessian.model(NOTHING, POINT))).min() > 0.0


def test_state_round_trip():
    for kind in (LBFGS, LSR1):
        hessian, other = kind(memory=4), kind(memory=4)
        for s, y in zip(*pairs(6, convex=True), strict=True):
            hessian.update(s, y)
        other.load_state_dict(hessian.state_dict())
        a, b = (h.model(NOTHING, POINT).mv(POINT.gradient) for h in (hessian, other))
        assert torch.equal(a, b)
        hessian.reset()
        assert len(hessian.pairs) == 0
        assert len(other.pairs) == 4


class LeastSquares(Problem):
    """f(x) = ‖J x − t‖²."""

    def __init__(self, J, t):
        self.J, self.t = J, t
        self.layout = Layout.flat(J.shape[1])

    def residuals(self, theta):
        return self.J @ theta - self.t

    def at(self, theta):
        r = self.residuals(theta)
        return Point(theta, float(r @ r), 2.0 * self.J.T @ r)


@pytest.mark.parametrize("shape", [(5, N), (20, N)], ids=["dual", "primal"])
def test_gauss_newton_solves_least_squares_in_one_step(shape):
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(*shape, generator=generator, dtype=torch.float64)
    t = torch.randn(shape[0], generator=generator, dtype=torch.float64)
    problem = LeastSquares(J, t)
    theta = torch.zeros(N, dtype=torch.float64)
    point = problem.at(theta)
    model = GaussNewton().model(problem, point)
    candidate = OBS().solve(model, 1e6)
    expected = torch.linalg.lstsq(J, t[:, None], driver="gelsd").solution[:, 0]
    assert torch.allclose(candidate.step, expected, rtol=1e-9, atol=1e-10)
    after = problem.at(candidate.step).value
    assert candidate.predicted == pytest.approx(point.value - after, rel=1e-10)
    short = OBS().solve(model, 0.1)
    assert float(short.step.norm()) == pytest.approx(0.1, rel=1e-12)
    # optimality on the boundary: (B + σI) p = −g for one σ >= 0
    left = model.mv(short.step) + point.gradient
    sigma = -(left @ short.step) / (short.step @ short.step)
    assert sigma > 0.0
    assert torch.allclose(left, -sigma * short.step, rtol=1e-8, atol=1e-9)


def test_gauss_newton_with_a_gradient_outside_the_range():
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(4, N, generator=generator, dtype=torch.float64)
    g = torch.randn(N, generator=generator, dtype=torch.float64)
    step, decrease, _ = LinearResiduals(Dense(J), torch.zeros_like(J[:, 0]), g).minimise(0.5)
    B = 2.0 * J.T @ J
    reference = boundary_minimiser(B.numpy(), g.numpy(), 0.5)
    assert np.allclose(step.numpy(), reference, rtol=1e-8, atol=1e-9)
    assert decrease == pytest.approx(float(-(g @ step) - 0.5 * step @ (B @ step)), rel=1e-9)


class Curved(LeastSquares):
    """f(x) = ‖r(x)‖² with r_i(x) = (J x)_i − t_i + ½ c (J x)_i²: curved along every direction."""

    def residuals(self, theta):
        linear = self.J @ theta
        return linear - self.t + 0.3 * linear**2

    def at(self, theta):
        theta = theta.detach().requires_grad_()
        f = self.residuals(theta).square().sum()
        return Point(theta.detach(), f.item(), torch.autograd.grad(f, theta)[0])


def test_gauss_newton_bends_the_step_until_the_promised_residuals_are_met():
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(5, N, generator=generator, dtype=torch.float64)
    problem = Curved(J, 0.4 * torch.randn(5, generator=generator, dtype=torch.float64))
    point = problem.at(torch.zeros(N, dtype=torch.float64))
    missed = []
    for corrections in (0, 1, 3, 20):
        hessian = GaussNewton(corrections=corrections)
        model = hessian.model(problem, point)
        plain = OBS().solve(model, 1e6)
        meter = Meter()
        bent = hessian.refine(Metered(problem, meter), point, plain, 1e6)
        promised = model.residuals + J @ plain.step
        missed.append(float((problem.residuals(bent.step) - promised).norm()))
        assert bent.predicted == pytest.approx(plain.predicted, rel=1e-10)
        assert meter.total <= (corrections + (corrections > 0)) * RESIDUALS
    assert missed[0] > 3 * missed[1] > 9 * missed[2]
    assert missed[3] < 1e-9
    # no further than the ball around the start reaches
    kept = GaussNewton()
    kept.model(problem, point)
    plain = OBS().solve(kept.model(problem, point), 1e6)
    assert torch.equal(kept.refine(problem, point, plain, 1e-6).step, plain.step)


def test_gauss_newton_keeps_its_model_after_a_rejection(monkeypatch):
    problem = Curved(torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    calls = []
    monkeypatch.setattr(
        Curved,
        "jacobian",
        lambda self, theta, dtype=None: calls.append(1) or Problem.jacobian(self, theta),
    )
    point, hessian = problem.at(torch.zeros(3, dtype=torch.float64)), GaussNewton()
    assert hessian.model(problem, point) is hessian.model(problem, point)
    hessian.model(problem, problem.at(torch.ones(3, dtype=torch.float64)))
    assert len(calls) == 2


def boundary_minimiser(B, g, radius):
    """Bisection on ‖(B + σI)⁻¹ g‖ = radius, with the dense eigen-decomposition."""
    values, Q = np.linalg.eigh(B)
    c = Q.T @ g
    low, high = max(0.0, -values[0]), 1e6
    for _ in range(300):
        middle = 0.5 * (low + high)
        longer = np.linalg.norm(c / (values + middle)) > radius
        low, high = (middle, high) if longer else (low, middle)
    return -Q @ (c / (values + high))


def test_exact_model_multiplies_with_the_hessian(small_regression):
    problem, theta = small_regression
    point = problem.at(theta)
    v = torch.ones_like(theta)
    assert torch.equal(Exact().model(problem, point).mv(v), problem.curvature(theta)(v))


def test_what_a_problem_lacks_is_said():
    with pytest.raises(ValueError, match="cannot give its residuals"):
        GaussNewton().model(NOTHING, POINT)

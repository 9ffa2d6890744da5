"""The dense quasi-Newton matrix: its update, its steps, and how far it gets."""

import math

import pytest
import torch

from ddopt.evaluation.problem import Point
from ddopt.executor import Serial
from ddopt.executor.sharded import Sharded
from ddopt.hessian.ssbroyden import SSBroyden, factors
from ddopt.numerics.vectors import norm
from ddopt.solver.trust_region import TrustRegion
from ddopt.subproblem.obs import OBS
from ddopt.testing.problems import regression, rotated_quadratic

N = 7


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def learned(update="ssbroyden", pairs=12):
    """A matrix after steps along its own directions on a quadratic, and the last pair."""
    root = rand(N, N)
    A = root @ root.T + 0.1 * torch.eye(N, dtype=torch.float64)
    hessian, theta = SSBroyden(update=update), rand(N, seed=1)
    for k in range(pairs):
        point = Point(theta, 0.0, A @ theta)
        step = OBS().solve(hessian.model(None, point), 0.1 + 0.2 * k).step
        theta, y = theta + step, A @ step
        hessian.update(step, y)
    return hessian, step, y


@pytest.mark.parametrize("update", ["bfgs", "ssbfgs", "ssbroyden"])
def test_the_secant_equation_holds_and_the_matrix_stays_positive_definite(update):
    hessian, s, y = learned(update)
    H = hessian.inverse()
    assert norm(H @ y - s) <= 1e-12 * norm(s)
    assert float((H - H.T).abs().max()) <= 1e-14 * float(H.abs().max())
    assert float(torch.linalg.eigvalsh(H).min()) > 0.0


def test_bfgs_is_the_formula_of_the_textbook():
    hessian, s, y = learned("bfgs", pairs=5)
    H = hessian.inverse()
    s, y = rand(N, seed=3), rand(N, seed=4)
    y = y * torch.sign(s @ y)
    hessian.update(s, y)
    rho = 1.0 / (s @ y)
    left = torch.eye(N, dtype=torch.float64) - rho * torch.outer(s, y)
    expected = left @ H @ left.T + rho * torch.outer(s, s)
    torch.testing.assert_close(hessian.inverse(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("b", [0.3, 0.9, 1.0, 1.7, 40.0])
@pytest.mark.parametrize("h", [1.0, 1.3, 25.0])
def test_the_factors_keep_the_determinant_positive_and_only_enlarge(b, h):
    h = h / b  # so that b h >= 1
    phi, tau = factors(b, h, 50)
    a = b * h - 1.0
    assert 0.0 < tau <= 1.0 + 1e-12  # H is enlarged only
    assert 1.0 + a * phi > 0.0  # the determinant of H⁺ has the sign of this
    if b == 1.0 and h == 1.0:
        assert (phi, tau) == pytest.approx((1.0, 1.0))


# Where sᵀy is a billionth of ‖s‖‖y‖ b h is 1e18; where f flattens b alone is larger than 1/ε.
@pytest.mark.parametrize(("b", "h"), [(1e8, 1e8), (1e9, 1e9), (1e17, 1e-3), (1e20, 1e-19)])
@pytest.mark.parametrize("n", [1, 2, 3000])
def test_the_factors_of_a_curvature_that_has_changed_much_are_finite(b, h, n):
    phi, tau = factors(b, h, n)
    assert 0.0 < tau <= 1.0
    assert 0.0 < phi < math.inf


def test_the_step_is_the_newton_step_cut_to_the_ball():
    hessian, _, _ = learned()
    g = rand(N, seed=5)
    model = hessian.model(None, Point(rand(N), 0.0, g))
    whole = OBS().solve(model, 1e9)
    torch.testing.assert_close(model.mv(whole.step), -g, rtol=1e-9, atol=1e-9)
    for radius in (0.01 * whole.norm, 0.5 * whole.norm, 1e9):
        found = OBS().solve(model, radius)
        promise = -float(g @ found.step) - 0.5 * float(found.step @ model.mv(found.step))
        assert found.predicted == pytest.approx(promise, rel=1e-9)
        assert norm(found.step) == pytest.approx(min(radius, whole.norm), rel=1e-12)


def test_what_tells_nothing_is_left_out():
    hessian, s, y = learned()
    before = hessian.inverse()
    for bad in (-y, torch.zeros(N, dtype=torch.float64), y * math.nan, y * math.inf, y * 1e-200):
        hessian.update(s, bad)
    assert torch.equal(hessian.inverse(), before)


def test_a_network_that_is_too_large_is_told_before_anything_is_allocated():
    with pytest.raises(ValueError, match=r"535,818 x 535,818 numbers \(2,139.1 GiB\).*'lsr1'"):
        SSBroyden().prepare(torch.zeros(535_818, dtype=torch.float64, device="meta"))


def test_it_solves_what_is_badly_scaled():
    problem = rotated_quadratic(20, condition=1e6)
    start = problem.both(torch.ones(20, dtype=torch.float64))
    answer = TrustRegion(hessian="ssbroyden").solve(problem, start, math.inf, 150)
    assert answer.end.value < 1e-18


def test_a_restored_matrix_goes_on_with_the_same_bits():
    problem, theta = regression()
    solver, twin = TrustRegion(hessian="ssbroyden"), TrustRegion(hessian="ssbroyden")
    middle = solver.solve(problem, problem.both(theta), math.inf, 20).end
    twin.load_state_dict(solver.state_dict())
    ends = [one.solve(problem, middle, math.inf, 20).end for one in (solver, twin)]
    assert torch.equal(ends[0].theta, ends[1].theta)


def test_a_pipeline_is_told_what_to_use_instead():
    with pytest.raises(ValueError, match="choose hessian 'lsr1'"):
        SSBroyden().measure(Sharded(Serial(), {0: slice(0, 32), 1: slice(32, 64)}, 2))


def test_the_product_with_the_next_gradient_follows_from_those_before():
    problem, theta = regression()
    solver = TrustRegion(hessian="ssbroyden", first_radius=1.0)  # H stays below 1e2
    point, worst = problem.both(theta), 0.0
    for _ in range(40):  # merges of late terms among them
        point = solver.solve(problem, point, math.inf, 1).end
        model, H = solver.hessian.model(problem, point), solver.hessian.inverse()
        worst = max(worst, norm(model.direction + H @ point.gradient) / norm(model.direction))
    assert worst < 1e-11


def test_numbers_of_single_precision_are_kept_in_a_double_matrix():
    hessian, s = SSBroyden(), rand(N).float()
    hessian.update(s, 3.0 * s)
    assert hessian.inverse().dtype == torch.float64
    step = OBS().solve(hessian.model(None, Point(s, 0.0, s)), 1e9).step
    assert step.dtype == hessian.model(None, Point(s, 0.0, s)).mv(s).dtype == torch.float32
    torch.testing.assert_close(step, -s / 3.0)

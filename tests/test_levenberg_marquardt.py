"""Levenberg-Marquardt: minima, balls, tilts, precision, numbers that are not finite, resuming."""

import copy
import math

import pytest
import torch

from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.meter import RESIDUALS, Meter, Metered
from ddopt.evaluation.problem import Point, Problem
from ddopt.hessian.gauss_newton import GaussNewton
from ddopt.numerics.space import Layout
from ddopt.solver.damping import FLOOR_SINGLE, Nielsen
from ddopt.solver.levenberg_marquardt import LevenbergMarquardt
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import CurvedLeastSquares, regression


def descend(problem, theta, iterations, **options):
    return LevenbergMarquardt(**options).solve(problem, problem.at(theta), math.inf, iterations)


def zeros(n):
    return torch.zeros(n, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(6, 15), (40, 15)], ids=["few residuals", "many residuals"])
def test_linear_least_squares_are_solved_in_a_few_steps(shape):
    problem = CurvedLeastSquares.random(*shape, bend=0.0)
    answer = descend(problem, zeros(15), 20)
    lowest = problem.at(torch.linalg.lstsq(problem.A, problem.t, driver="gelsd").solution).value
    assert answer.end.value == pytest.approx(lowest, rel=1e-10, abs=1e-24)
    assert answer.decrease == pytest.approx(problem.at(zeros(15)).value - answer.end.value)
    torch.testing.assert_close(answer.end.theta, answer.step)


def test_the_rosenbrock_function():
    class Rosenbrock(Problem):
        layout = Layout.flat(2)

        def residuals(self, x):
            return torch.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])

        def at(self, x):
            r = self.residuals(x)
            return Point(x, float(r @ r), torch.zeros(2))

    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    answer = descend(Rosenbrock(), start, 40)
    torch.testing.assert_close(answer.end.theta, torch.ones(2, dtype=torch.float64))
    assert answer.end.value < 1e-25


def test_a_tilt_moves_the_minimum():
    """f̃ = ‖Ax − t‖² + <w, x> has its minimum where 2Aᵀ(Ax − t) = −w."""
    inner = CurvedLeastSquares.random(40, 15, bend=0.0)
    wanted = torch.arange(15, dtype=torch.float64)
    problem = Consistent(inner, inner.at(zeros(15)), wanted)
    answer = LevenbergMarquardt().solve(problem, problem.start, math.inf, 20)
    end = problem.at(answer.end.theta)
    assert float(end.gradient.norm()) < 1e-6 * float(wanted.norm())
    assert answer.end.value == pytest.approx(end.value, rel=1e-12)
    assert answer.decrease == pytest.approx(problem.start.value - end.value, rel=1e-12)


@pytest.mark.parametrize("ball", [1e-3, 0.1])
def test_the_accumulated_step_stays_in_the_ball(ball):
    problem = CurvedLeastSquares.random(40, 15)
    answer = LevenbergMarquardt().solve(problem, problem.at(zeros(15)), ball, 8)
    assert 0.5 * ball < float(answer.step.norm()) <= ball * (1.0 + 1e-12)
    assert answer.decrease > 0.0


def test_every_decrease_is_taken_and_nothing_else():
    problem, theta = regression_with_residuals()
    solver, point = LevenbergMarquardt(), problem.at(theta)
    for _ in range(30):
        answer = solver.solve(problem, point, math.inf, 1)
        if answer.accepted:
            assert answer.end.value < point.value
            assert answer.decrease > 0.0
        else:
            assert answer.end is point
            assert not answer.step.any()
        point = answer.end
    assert point.value < 1e-3 * problem.at(theta).value


def regression_with_residuals(dtype=torch.float64):
    """A network's least squares with its residuals."""
    problem, theta = regression()

    class Regression(Problem):
        layout = problem.layout

        def at(self, theta):
            return problem.at(theta)

        def residuals(self, theta):
            net = torch.nn.functional
            named = problem.named(theta)
            generator = torch.Generator().manual_seed(1)
            x = torch.randn(37, 3, generator=generator, dtype=torch.float64)
            t = torch.sin(x.sum(1)) + x[:, 0] ** 2
            h = torch.tanh(net.linear(x, named["0.weight"], named["0.bias"]))
            h = torch.tanh(net.linear(h, named["2.weight"], named["2.bias"]))
            y = net.linear(h, named["4.weight"], named["4.bias"])[:, 0]
            return (y - t) / 37**0.5

    return Regression(), theta


def test_values_are_those_of_the_problem():
    problem, theta = regression_with_residuals()
    answer = descend(problem, theta, 5)
    end = problem.at(answer.end.theta)
    assert answer.end.value == pytest.approx(end.value, rel=1e-12)
    torch.testing.assert_close(answer.end.gradient, end.gradient)


def test_float32_is_left_when_the_damping_needs_more_digits():
    problem, theta = regression_with_residuals()
    asked = []

    class Watched(type(problem)):
        def jacobian(self, theta, dtype=None):
            asked.append(dtype)
            return super().jacobian(theta, dtype)

    answer = descend(Watched(), theta, 60)
    assert asked[0] == torch.float32
    assert asked[-1] == torch.float64
    first = asked.index(torch.float64)
    assert set(asked[first:]) == {torch.float64}  # never back
    assert answer.end.value < 1e-20  # 113 parameters and 37 residuals
    asked.clear()
    descend(Watched(), theta, 3, single=False)
    assert set(asked) == {torch.float64}


def test_the_damping_follows_the_ratio():
    damping = Nielsen(1e-2, single=True)
    damping.accepted(1e-2, 1.0)
    assert damping.share == pytest.approx(1e-2 / 3)
    damping.accepted(1e-2, 0.5)
    assert damping.share == pytest.approx(1e-2)
    damping.accepted(1e-2, 0.0)
    assert damping.share == pytest.approx(2e-2)
    damping.rejected(1e-2)
    damping.rejected(2e-2)
    assert damping.share == pytest.approx(8e-2)
    assert damping.single  # such a damping hides the round-off of float32
    near = Nielsen(1e-2, single=True)
    near.rejected(10 * FLOOR_SINGLE)
    near.rejected(20 * FLOOR_SINGLE)
    assert not near.single
    drowned = Nielsen(1e-2, single=True)
    drowned.drowned()
    assert not drowned.single
    other = Nielsen(1e-2, single=True)
    other.accepted(2 * FLOOR_SINGLE, 0.6)
    assert other.single
    other.accepted(2 * FLOOR_SINGLE, 1.0)  # the next damping is below what float32 can tell
    assert not other.single


class Cliff(CurvedLeastSquares):
    """Beyond ‖x‖ = ``reach`` the residuals, or their Jacobian alone, are not finite."""

    reach, broken = 0.2, "residuals"

    def residuals(self, theta):
        found = super().residuals(theta)
        beyond = bool(theta.detach().norm() > self.reach)
        return found * math.nan if beyond and self.broken == "residuals" else found

    def jacobian(self, theta, dtype=None):
        found = super().jacobian(theta, dtype)
        if self.broken == "jacobian" and bool(theta.norm() > self.reach):
            found[0, 0] = math.inf
        return found


@pytest.mark.parametrize("broken", ["residuals", "jacobian"])
def test_what_is_not_finite_rejects_the_trial(broken):
    problem = Cliff.random(40, 15)
    problem.broken = broken
    answer = descend(problem, zeros(15), 40)
    assert answer.rejected > 0
    assert answer.accepted > 0
    assert float(answer.step.norm()) <= problem.reach
    assert answer.end.value < problem.at(zeros(15)).value


def test_at_a_start_whose_jacobian_is_not_finite_nothing_is_done():
    problem = Cliff.random(40, 15)
    problem.broken, problem.reach = "jacobian", -1.0
    start = problem.at(zeros(15))
    answer = LevenbergMarquardt().solve(problem, start, math.inf, 5)
    assert answer.end is start
    assert (answer.accepted, answer.decrease, answer.ratio) == (0, 0.0, -math.inf)
    assert answer.non_finite == 1


def test_a_stationary_point_is_left_alone():
    problem = CurvedLeastSquares.random(6, 15, bend=0.0)
    theta = torch.linalg.lstsq(problem.A, problem.t, driver="gelsd").solution
    answer = descend(problem, theta, 60)
    assert answer.accepted + answer.rejected < 60
    assert float(answer.step.norm()) < 1e-6


def test_resuming_gives_the_same_bits():
    problem, theta = regression_with_residuals()
    whole, point = LevenbergMarquardt(), problem.at(theta)
    for _ in range(25):
        point = whole.solve(problem, point, math.inf, 1).end
    for cut in (1, 4, 12, 20):
        first, here = LevenbergMarquardt(), problem.at(theta)
        for _ in range(cut):
            here = first.solve(problem, here, math.inf, 1).end
        second = LevenbergMarquardt()
        second.load_state_dict(first.state_dict())
        here = Point(here.theta.clone(), here.value, here.gradient)
        for _ in range(25 - cut):
            here = second.solve(problem, here, math.inf, 1).end
        assert torch.equal(here.theta, point.theta)
        assert second.state_dict() == whole.state_dict()


SOLVERS = {
    "damping": LevenbergMarquardt,
    "ball": lambda: TrustRegion(
        hessian={"name": "gauss_newton", "corrections": 0}, first_radius=9.0
    ),
}


@pytest.mark.parametrize("kind", SOLVERS)
def test_a_resumed_solver_is_charged_as_one_that_was_not_interrupted(kind):
    """The Jacobian at the point of a checkpoint is made again, and was charged before."""
    problem, theta = regression_with_residuals()
    whole, point, kept = SOLVERS[kind](), problem.at(theta), []
    rejected = 0
    for _ in range(12):
        meter = Meter()
        answer = whole.solve(Metered(problem, meter), point, math.inf, 1)
        point, rejected = answer.end, rejected + answer.rejected
        kept.append((meter.total, copy.deepcopy(whole.state_dict()), point))
    assert rejected  # then a model serves again
    for cut in range(11):
        solver, here, meter = SOLVERS[kind](), kept[cut][2], Meter()
        solver.load_state_dict(kept[cut][1])
        assert solver.state_dict() == kept[cut][1]  # also of one that is saved at once
        here = Point(here.theta.clone(), here.value, here.gradient)
        solver.solve(Metered(problem, meter), here, math.inf, 1)
        assert meter.total == kept[cut + 1][0]


def test_another_loss_at_the_same_parameters_is_charged_after_a_checkpoint_too():
    problem, theta = regression_with_residuals()
    first, second, meter = GaussNewton(), GaussNewton(), Meter()
    first.model(problem, problem.at(theta))
    second.load_state_dict(first.state_dict())
    other = Point(theta, 2.0 * problem.at(theta).value, problem.at(theta).gradient)
    second.model(Metered(problem, meter), other)
    assert meter.total > RESIDUALS

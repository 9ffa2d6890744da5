"""The solver that begins as a quasi-Newton method and goes over to Gauss-Newton."""

import copy
import math

import pytest
import torch

from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.point import Point
from ddopt.evaluation.problem import Problem
from ddopt.evaluation.question import Value
from ddopt.numerics.space import Layout
from ddopt.solver import Answer, least_squares
from ddopt.solver.least_squares import FIRST, SHARE, LeastSquares
from ddopt.solver.levenberg_marquardt import LevenbergMarquardt
from ddopt.solver.solver import Solver
from ddopt.solver.trust_region import TrustRegion
from ddopt.solver.work import RECENT, Account, factorisation, matrix_update
from ddopt.testing.problems import CurvedLeastSquares
from tests.test_levenberg_marquardt import regression_with_residuals, zeros


def walk(solver, problem, point, count):
    """The points of ``count`` calls with one iteration each."""
    found = []
    for _ in range(count):
        point = solver.solve(problem, point, math.inf, 1).end
        found.append(point)
    return found


def test_the_rate_is_the_gain_of_the_last_iterations_for_their_work():
    account = Account()
    assert account.rate == 0.0
    for i in range(2 * RECENT):
        account.enter(float(i), 2.0)
    assert account.full
    assert account.spent == 4.0 * RECENT
    assert account.rate == pytest.approx(sum(range(RECENT, 2 * RECENT)) / (2.0 * RECENT))


def test_linear_algebra_is_counted_by_its_operations():
    """m n k + k³ with k = min(m, n), and n² of a matrix; both in units of m n."""
    assert factorisation(2000, 500) == factorisation(500, 2000)
    assert factorisation(1000, 1000) == pytest.approx(2.0 * factorisation(10**9, 1000), rel=1e-5)
    assert matrix_update(500, 1000) == pytest.approx(2.0 * matrix_update(1000, 1000))


@pytest.mark.parametrize(
    ("m", "n", "kept"),
    [
        (4000, 5081, True),
        (4000, 60_000, True),
        (1000, 240_000, True),
        (10_000, 10_000, True),  # its products build graphs again
        (12_000, 12_000, False),
        (4000, 62_501, False),  # 2.5e8 entries and some
        (20_000, 98_461, False),
    ],
)
def test_a_jacobian_is_kept_where_it_fits_and_products_are_no_less_work(caplog, m, n, kept):
    solver = LevenbergMarquardt()
    assert solver._fits(m, n) == kept
    with caplog.at_level("INFO", logger="ddopt"):
        solver._say(m, n, kept)
    way = f"kept, Gram matrix {min(m, n)} x {min(m, n)}" if kept else "known by products"
    assert f"J {m} x {n}: {way}" in caplog.text


class Exponential(Problem):
    """f = exp(−2 θ_1): θ_1 is half of all that has been gained."""

    layout = Layout.flat(2)

    def residuals(self, theta):
        return torch.exp(-theta[:1])

    def at(self, theta):
        return Point(theta, float(self.residuals(theta)[0] ** 2), torch.zeros(2))


class Steady(Solver):
    """Gains so much in each iteration, for so many evaluations."""

    radius = 1.0

    def __init__(self, gain, price):
        self.gain, self.price, self.turns = gain, price, 0

    def iterate(self, problem, start, ball, iterations):
        self.turns += 1
        for _ in range(self.price):
            step = torch.tensor([0.5 * self.gain, 0.0], dtype=torch.float64)
            end = yield Value(problem, start.theta + step)
        return Answer(step, start.value - end.value, end, accepted=1)


def turns(quasi, gauss, work):
    """Which method takes each iteration until so much work is done, and the work of each."""
    solver = LeastSquares()
    solver.quasi_newton, solver.gauss_newton = Steady(*quasi), Steady(*gauss)
    problem = Exponential()
    point, taken, meter = problem.at(zeros(2)), [], Meter()
    while meter.work < work:
        before = solver.gauss_newton.turns
        point = solver.solve(Metered(problem, meter), point, math.inf, 1).end
        taken.append(solver.gauss_newton.turns > before)
    return taken


def test_gauss_newton_takes_over_where_it_gains_more_for_its_work():
    taken = turns((0.01, 1), (1.0, 8), 400)
    first = taken.index(True)
    assert FIRST / 2 <= first <= FIRST  # a quasi-Newton iteration takes between one and two units
    assert all(taken[first:])


def test_where_it_gains_less_it_is_tried_for_a_small_share_of_the_work():
    taken = turns((0.1, 1), (0.2, 8), 4000)
    tried = sum(taken)
    assert tried >= 4  # it is not forgotten
    tried, rest = 8.0 * tried, (1.0 + matrix_update(1, 2)) * (len(taken) - tried)
    assert tried <= 1.05 * rest / SHARE


def test_the_better_method_is_at_work_when_its_rate_has_changed():
    """Gauss-Newton is slow at first and fast at the end; the quasi-Newton method slows down."""
    solver = LeastSquares()
    solver.quasi_newton, solver.gauss_newton = Steady(0.1, 1), Steady(0.2, 8)
    problem = Exponential()
    point = walk(solver, problem, problem.at(zeros(2)), 60)[-1]
    tried = solver.gauss_newton.turns
    assert tried >= 2  # and found to be behind
    solver.quasi_newton.gain = 0.001
    walk(solver, problem, point, 3 * RECENT)
    assert solver.gauss_newton.turns > tried + RECENT // 2


def test_who_has_divided_f_by_a_thousand_stays():
    """Also where it is slower than the quasi-Newton method was before."""
    for gain, stays in ((2.0, True), (0.5, False)):
        solver, problem = LeastSquares(), Exponential()
        solver.quasi_newton, solver.gauss_newton = Steady(0.05, 1), Steady(gain, 8)
        point = walk(solver, problem, problem.at(zeros(2)), 30)[-1]
        assert solver.gauss_newton.turns >= 4  # so that it has gained 8 in the first case
        solver.gauss_newton.gain = 0.001
        walk(solver, problem, point, 2 * RECENT)
        assert (solver.radius is None) == stays


def test_before_the_first_trial_it_is_the_trust_region():
    problem, theta = regression_with_residuals()
    ours = walk(LeastSquares(), problem, problem.at(theta), 15)
    theirs = walk(TrustRegion(), problem, problem.at(theta), 15)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.theta, b.theta)


def test_tried_from_the_start_it_is_levenberg_marquardt(monkeypatch):
    monkeypatch.setattr(least_squares, "FIRST", 0.0)
    problem, theta = regression_with_residuals()
    ours = walk(LeastSquares(), problem, problem.at(theta), 15)
    theirs = walk(LevenbergMarquardt(), problem, problem.at(theta), 15)
    assert torch.equal(ours[0].theta, theirs[0].theta)
    assert torch.equal(ours[-1].theta, theirs[-1].theta)


def test_it_ends_below_both():
    problem, theta = regression_with_residuals()
    end = walk(LeastSquares(), problem, problem.at(theta), 80)[-1]
    assert end.value < 1e-20
    assert end.value < walk(TrustRegion(), problem, problem.at(theta), 80)[-1].value


def test_resuming_gives_the_same_bits_before_at_and_after_a_change():
    problem, theta = regression_with_residuals()
    whole, point, kept = LeastSquares(), problem.at(theta), []
    for _ in range(60):
        point = whole.solve(problem, point, math.inf, 1).end
        kept.append((whole.radius is None, copy.deepcopy(whole.state_dict()), point))
    changes = [i for i in range(1, 60) if kept[i][0] != kept[i - 1][0]]
    assert changes
    for cut in {0, 58, *changes, *(i - 1 for i in changes), *(i + 1 for i in changes)}:
        solver, here = LeastSquares(), kept[cut][2]
        solver.load_state_dict(kept[cut][1])
        here = Point(here.theta.clone(), here.value, here.gradient)
        assert torch.equal(walk(solver, problem, here, 59 - cut)[-1].theta, point.theta), cut


def test_the_accumulated_step_stays_in_the_ball():
    problem = CurvedLeastSquares.random(40, 15)
    answer = LeastSquares().solve(problem, problem.at(zeros(15)), 0.1, 80)
    assert 0.05 < float(answer.step.norm()) <= 0.1 * (1.0 + 1e-12)
    assert answer.decrease > 0.0


def test_a_tilt_moves_the_minimum():
    """f̃ = ‖Ax − t‖² + <w, x>, negative at its minimum, where 2Aᵀ(Ax − t) = −w."""
    inner = CurvedLeastSquares.random(40, 15, bend=0.0)
    wanted = 100.0 * torch.arange(15, dtype=torch.float64)
    problem = Consistent(inner, inner.at(zeros(15)), wanted)
    answer = LeastSquares().solve(problem, problem.start, math.inf, 80)
    assert answer.end.value < 0.0
    assert float(problem.at(answer.end.theta).gradient.norm()) < 1e-6 * float(wanted.norm())


class NoJacobian(CurvedLeastSquares):
    """Its Jacobian has one entry that is not a number, or is absurd."""

    entry = math.nan

    def jacobian(self, theta, dtype=None):
        found = super().jacobian(theta, dtype)
        found[0, 0] = torch.tensor(self.entry, dtype=torch.float64).to(found.dtype)
        return found


@pytest.mark.parametrize("entry", [math.nan, math.inf, -math.inf, 1e200, 1e30])
def test_a_jacobian_that_is_not_finite_or_absurd_leaves_the_quasi_newton_method_at_work(entry):
    problem = NoJacobian.random(40, 15)
    problem.entry = entry
    answer = LeastSquares().solve(problem, problem.at(zeros(15)), math.inf, 120)
    lowest = descend_by_trust_region(problem)
    assert math.isfinite(answer.end.value)
    assert answer.end.value == pytest.approx(lowest, rel=1e-6)


def descend_by_trust_region(problem):
    return TrustRegion().solve(problem, problem.at(zeros(15)), math.inf, 120).end.value


def test_a_walk_on_micro_batches_is_refused():
    with pytest.raises(ValueError, match="'muon' walks on micro-batches"):
        LeastSquares(quasi_newton="muon")

"""Every local solver on every closed-form problem: decrease, balls, memory."""

import math

import pytest
import torch

from ddopt.acceptance.averaged import Averaged
from ddopt.acceptance.toint import Toint
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Point, Samples
from ddopt.numerics.space import Layout
from ddopt.numerics.vectors import norm
from ddopt.setup.component import lookup
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import regression, rotated_quadratic

SOLVERS = {
    "lsr1": {"name": "trust_region"},
    "lbfgs": {"name": "trust_region", "hessian": "lbfgs"},
    "exact": {"name": "trust_region", "hessian": "exact", "subproblem": "steihaug"},
    "dogleg": {"name": "trust_region", "hessian": "exact", "subproblem": "dogleg"},
    "first order": {"name": "trust_region", "hessian": "none", "subproblem": "cauchy"},
    "toint": {"name": "trust_region", "acceptance": "toint"},
    "averaged": {"name": "trust_region", "acceptance": "averaged"},
    "window": {"name": "trust_region", "acceptance": "window"},
    "asntr": {"name": "trust_region", "acceptance": "asntr"},
    "ssbroyden": {"name": "trust_region", "hessian": "ssbroyden"},
    "lssr1": {"name": "lssr1"},
    "trust-region adam": {"name": "trust_region_adam"},
    "adam": {"name": "adam", "lr": 0.03},
    "sgd": {"name": "sgd", "lr": 0.01},
}


def make(name):
    options = dict(SOLVERS[name])
    return lookup("solver", options.pop("name"))(**options)


def quadratic():
    problem = rotated_quadratic(6, condition=10.0)
    return problem, torch.ones(6, dtype=torch.float64)


PROBLEMS = {"quadratic": quadratic, "regression": regression}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_it_goes_down_and_reports_what_it_did(solver, problem):
    f, theta = PROBLEMS[problem]()
    start = f.at(theta)
    meter = Meter()
    answer = make(solver).solve(Metered(f, meter), start, math.inf, 40)
    assert answer.end.value < 0.5 * start.value
    assert answer.decrease == start.value - answer.end.value
    assert torch.equal(answer.step, answer.end.theta - theta)
    iterations = answer.accepted + answer.rejected
    assert iterations <= 40
    # a line search visits more points, and products with the Hessian are charged
    more = solver == "lssr1" or SOLVERS[solver].get("hessian") == "exact"
    assert meter.total > iterations if more else meter.total == iterations
    assert f.at(answer.end.theta).value == answer.end.value


@pytest.mark.parametrize("ball", [1e-3, 0.2])
@pytest.mark.parametrize("solver", SOLVERS)
def test_it_stays_in_its_ball(solver, ball):
    f, theta = regression()
    answer = make(solver).solve(f, f.at(theta), ball, 25)
    assert 0.0 < norm(answer.step) <= ball * (1 + 1e-12)


@pytest.mark.parametrize("solver", SOLVERS)
def test_its_memory_survives_a_restart(solver):
    f, theta = regression()
    first = make(solver)
    first.prepare(theta)
    middle = first.solve(f, f.at(theta), math.inf, 7).end
    second = make(solver)
    second.load_state_dict(first.state_dict())
    a = first.solve(f, middle, math.inf, 5)
    b = second.solve(f, middle, math.inf, 5)
    assert torch.equal(a.step, b.step)
    first.reset()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_point_that_is_not_finite_is_never_entered(solver):
    f, theta = regression()
    start = f.at(theta)
    honest = f.at

    def at(other):
        point = honest(other)
        if float((other - theta).norm()) > 1e-3:
            point.value = math.nan
        return point

    f.at = at
    answer = make(solver).solve(f, start, math.inf, 30)
    assert math.isfinite(answer.end.value)
    assert norm(answer.step) <= 1e-3


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_point_that_a_walk_does_not_enter_is_counted_as_rejected(solver):
    f, theta = regression()
    start, honest = f.at(theta), f.both
    f.both = lambda other: Point(other, math.nan, honest(other).gradient)
    meter = Meter()
    answer = make(solver).solve(Metered(f, meter), start, math.inf, 5)
    assert (answer.accepted, answer.rejected, meter.total) == (0, 1, 1.0)


def test_a_stationary_point_is_left_alone():
    f, _ = quadratic()
    zero = torch.zeros(6, dtype=torch.float64)
    meter = Meter()
    answer = TrustRegion().solve(Metered(f, meter), f.at(zero), math.inf, 5)
    assert meter.total == 0
    assert not answer.step.any()


def test_toint_forgives_a_rise_that_earlier_steps_have_paid_for():
    policy = Toint(patience=2)
    policy.judge(10.0, 5.0, 5.0)
    assert policy.judge(5.0, 6.0, 1.0).ratio == pytest.approx(4.0 / 6.0)  # since f = 10
    assert policy.judge(6.0, 7.0, 1.0).ratio == pytest.approx(3.0 / 7.0)  # the second in a row
    assert not policy.judge(7.0, 7.5, 1.0).accepted  # f_r is 7 now, and nothing is paid since
    policy.judge(7.0, 4.0, 3.0)  # a new best leaves the reference where it is
    assert policy.judge(4.0, 5.0, 1.0).ratio == pytest.approx((7.0 - 5.0) / (3.0 + 1.0))


def test_toint_without_patience_is_monotone():
    policy = Toint(patience=0)
    policy.judge(10.0, 5.0, 5.0)
    assert policy.judge(5.0, 6.0, 1.0).ratio == -1.0


def test_averaged_reference_lies_between_the_worst_and_the_current():
    policy = Averaged(memory=0.5)
    policy.judge(4.0, 2.0, 2.0)
    mean = (0.5 * 4.0 + 2.0) / 1.5
    assert policy.ratio(2.0, 2.5, 1.0) == pytest.approx(mean - 2.5)
    monotone = Averaged(memory=0.0)
    monotone.judge(4.0, 2.0, 2.0)
    assert monotone.ratio(2.0, 2.5, 1.0) == -0.5


def test_a_radius_without_bound_takes_whole_steps_and_shrinks_from_the_one_that_fails():
    f = rotated_quadratic(condition=10.0)
    start = f.both(torch.ones(f.layout.size, dtype=torch.float64))
    options = {"hessian": "exact", "subproblem": "steihaug", "first_radius": math.inf}
    solver = TrustRegion(**options)
    answer = solver.solve(f, start, math.inf, 1)
    assert answer.accepted == 1
    assert solver.radius == math.inf
    assert answer.end.value < 1e-2 * start.value
    deep = {"name": "monotone", "threshold": 0.5}
    refusing = TrustRegion(**{**options, "hessian": "lsr1", "subproblem": "obs"}, acceptance=deep)
    wrong = rotated_quadratic(condition=10.0)
    wrong.at = lambda theta: Point(theta, 1.0, torch.ones_like(theta))  # promises, never falls
    answer = refusing.solve(wrong, wrong.at(start.theta), math.inf, 1)
    assert answer.accepted == 0
    assert 0.0 < refusing.radius < math.inf


@pytest.mark.parametrize("subproblem", ["obs", "steihaug", "dogleg", "cauchy"])
@pytest.mark.parametrize("hessian", ["lsr1", "lbfgs", "ssbroyden", "none"])
def test_without_a_bound_and_without_curvature_the_first_step_has_the_default_length(
    hessian, subproblem
):
    problem, theta = regression()
    options, start = {"hessian": hessian, "subproblem": subproblem}, problem.both(theta)
    ends = []
    for first in (math.inf, None):
        solver, point = TrustRegion(**options, first_radius=first), start
        for _ in range(6):
            point = solver.solve(problem, point, math.inf, 1).end
        ends.append((solver.radius, point.value))
    assert ends[0] == ends[1]
    assert ends[0][1] < start.value


@pytest.mark.parametrize("hessian", ["lsr1", "lbfgs", "ssbroyden", "none", "exact"])
@pytest.mark.parametrize("first", [None, math.inf])
def test_f_that_falls_beyond_the_largest_number_is_followed_as_far_as_numbers_go(hessian, first):
    x = torch.linspace(0.5, 1.0, 3, dtype=torch.float64)
    f = AutogradProblem(
        Layout.flat(3), lambda p, s: (-(p["x"].square().sum()).exp(),), Samples.all(1)
    )
    subproblem = "steihaug" if hessian == "exact" else "obs"
    solver = TrustRegion(hessian=hessian, subproblem=subproblem, first_radius=first)
    point = f.both(x)
    for _ in range(4):
        point = solver.solve(f, point, math.inf, 30).end
        assert math.isfinite(point.value)
        assert solver.radius > 0.0
    assert point.value < -1e100

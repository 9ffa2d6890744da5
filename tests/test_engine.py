"""The outer iteration: equivalences, bookkeeping, bounds, and steps that leave no trace."""

import math

import pytest
import torch

from ddopt.acceptance.monotone import Monotone
from ddopt.acceptance.window import Window
from ddopt.decomposition import Subdomain
from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.decomposition.product import Product
from ddopt.evaluation.problem import Point, Problem
from ddopt.executor import Serial, Split
from ddopt.method.engine import Engine
from ddopt.numerics.vectors import norm
from ddopt.recombination import Corrections
from ddopt.recombination.mean import Mean
from ddopt.recombination.sum import Sum
from ddopt.solver.adam import Adam
from ddopt.solver.lssr1 import LSSR1
from ddopt.solver.sgd import SGD
from ddopt.solver.trust_region import TrustRegion
from ddopt_sapts.data import APTS, SaptsD
from ddopt_sapts.layers import NAPTS, SaptsP
from ddopt_sapts.trust_region import TrustRegion as Plain

CAUCHY = TrustRegion.Config(hessian="none", subproblem="cauchy")
LSR1 = TrustRegion.Config(first_radius=0.5)


def run(problem, theta, strategy, solver=LSR1, steps=5):
    engine = Engine(strategy.parts(solver), Serial(), strategy.subdomains)
    engine.start(problem, theta)
    reports = [engine.step(problem) for _ in range(steps)]
    return engine, reports


@pytest.mark.parametrize("solver", [CAUCHY, LSR1], ids=["cauchy", "lsr1"])
@pytest.mark.parametrize("strategy", [SaptsD, SaptsP, APTS], ids=["data", "layers", "apts"])
def test_one_subdomain_is_the_plain_trust_region(small_regression, strategy, solver):
    problem, theta = small_regression
    decomposed = strategy(subdomains=1, local_iterations=4, global_iterations=0)
    engine, reports = run(problem, theta, decomposed, solver, steps=5)
    plain, _ = run(problem, theta, Plain(), solver, steps=20)
    assert torch.equal(engine.point.theta, plain.point.theta)
    assert engine.point.value == plain.point.value
    assert all(report.ratio == 1.0 for report in reports if report.accepted)


@pytest.mark.parametrize("strategy", [SaptsD, SaptsP, APTS], ids=["data", "layers", "apts"])
def test_every_variant_decreases_the_loss(small_regression, strategy):
    problem, theta = small_regression
    engine, reports = run(problem, theta, strategy(subdomains=2), steps=15)
    losses = [report.loss for report in reports]
    assert losses == sorted(losses, reverse=True)
    assert engine.point.value < 0.1 * problem.at(theta).value


def test_the_non_monotone_strategy_never_exceeds_its_window(small_regression):
    problem, theta = small_regression
    engine, reports = run(problem, theta, NAPTS(subdomains=2), steps=20)
    first = problem.at(theta).value
    taken, last = [first], first  # the window holds values of accepted iterates
    for report in reports:
        assert report.loss <= max(last, *taken[-5:])
        last = report.loss
        if report.accepted:
            taken.append(last)
    assert engine.point.value < 0.1 * first


def test_a_prediction_is_the_sum_of_the_local_decreases(small_regression):
    problem, theta = small_regression
    parts = SaptsD(subdomains=3, global_iterations=0).parts(LSR1)
    engine = Engine(parts, Serial())
    engine.start(problem, theta)
    corrections = propose(engine, problem)
    decreases = []
    for d, subdomain in enumerate(corrections.subdomains):
        local = problem.part(subdomain.samples)
        start, end = local.at(theta), local.at(theta + corrections.steps[d])
        tilt = (corrections.point.gradient - start.gradient) @ corrections.steps[d]
        decreases.append(start.value - end.value - float(tilt))
    assert corrections.decreases == pytest.approx(decreases, rel=1e-12)
    assert Sum().combine(corrections).predicted == pytest.approx(sum(decreases), rel=1e-12)
    assert Mean().combine(corrections).predicted == pytest.approx(sum(decreases) / 3, rel=1e-12)
    whole = sum(corrections.steps[d] for d in range(3))
    assert torch.allclose(Sum().combine(corrections).step, whole)
    assert torch.allclose(Mean().combine(corrections).step, whole / 3)


def propose(engine: Engine, problem: Problem) -> Corrections:
    """What the recombination of the next iteration would be given."""
    seen = []
    recombination = engine.parts.preconditioner.recombination
    original = recombination.combine
    recombination.combine = lambda corrections: seen.append(corrections) or original(corrections)
    engine.step(problem)
    return seen[0]


@pytest.mark.parametrize("strategy", [SaptsD, SaptsP, APTS], ids=["data", "layers", "apts"])
def test_the_recombined_step_stays_in_its_radius(small_regression, strategy):
    problem, theta = small_regression
    radius = 1e-2
    engine, (report,) = run(
        problem,
        theta,
        strategy(subdomains=2, first_radius=radius, global_iterations=0),
        steps=1,
    )
    assert 0.0 < norm(engine.point.theta - theta) <= radius * (1 + 1e-12)
    assert report.step_norm <= radius * (1 + 1e-12)


def test_radii_of_the_recombinations(small_regression):
    problem, _ = small_regression
    data = SaptsD(subdomains=4).parts(LSR1).preconditioner.decomposition.split(problem)
    layers = SaptsP(subdomains=3).parts(LSR1).preconditioner.decomposition.split(problem)
    both = Product(samples=Data(subdomains=4), parameters=Layers(subdomains=3)).split(problem)
    assert Sum().ball(1.0, data, problem) == 0.25  # equation 5
    assert Sum().ball(1.0, layers, problem) == pytest.approx(1 / math.sqrt(3))
    assert Sum().ball(1.0, both, problem) == pytest.approx(0.25 / math.sqrt(3))
    assert Mean().ball(1.0, data, problem) == 1.0
    assert Mean().ball(1.0, layers, problem) == pytest.approx(1 / math.sqrt(3))
    assert Mean().ball(1.0, both, problem) == pytest.approx(1 / math.sqrt(3))


def test_the_mean_moves_what_is_covered_where_not_everything_is(small_regression):
    problem, theta = small_regression
    groups = [Subdomain(0, slice(0, 40)), Subdomain(1, slice(40, 90))]
    corrections = Corrections(
        problem=problem,
        point=problem.at(theta),
        radius=1.0,
        subdomains=groups,
        steps={d: torch.ones(group.size(113), dtype=theta.dtype) for d, group in enumerate(groups)},
        decreases=[1.0, 2.0],
        executor=Serial(),
    )
    found = Mean().combine(corrections)
    assert found.step.tolist() == [1.0] * 90 + [0.0] * 23
    assert found.predicted == 3.0


@pytest.mark.parametrize("strategy", [NAPTS, SaptsD, SaptsP, APTS])
def test_a_zero_gradient_is_no_error(small_regression, strategy):
    problem, theta = small_regression
    flat = problem._but(_sums=lambda named, samples: ((0.0 * named["0.weight"]).exp().sum(),))
    engine, reports = run(flat, theta, strategy(subdomains=2), steps=2)
    assert torch.equal(engine.point.theta, theta)
    assert not any(report.accepted for report in reports)


def test_boxes_of_layers_nest_in_the_global_box(small_regression):
    problem, theta = small_regression
    box = TrustRegion.Config(
        norm="inf", hessian="none", subproblem={"name": "cauchy", "norm": "inf"}, first_radius=9.0
    )
    with pytest.raises(ValueError, match=r"strategy.norm = 'inf'"):
        SaptsP(subdomains=3).parts(box)
    options = {"subdomains": 3, "norm": "inf", "first_radius": 1e-3, "global_iterations": 0}
    running = Engine(SaptsP(**options).parts(box), Serial())
    running.start(problem, theta)
    report = running.step(problem)
    step = (running.point.theta - theta).abs()
    assert report.accepted
    assert report.step_norm == pytest.approx(1e-3)  # Δ_d = Δ: every box reaches the global one's
    assert float(step.max()) <= 1e-3 * (1 + 1e-9)
    assert norm(step) > 3e-3


class Trap(Problem):
    """Finite at the start only: every trial is rejected."""

    def __init__(self, problem, start, value):
        self.problem, self.start, self.value = problem, start, value
        self.layout, self.samples = problem.layout, problem.samples

    def at(self, theta):
        point = self.problem.at(theta)
        if torch.equal(theta, self.start):
            return point
        return Point(theta, self.value, point.gradient)

    def part(self, samples):
        return self.problem.part(samples)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e9])
@pytest.mark.parametrize("strategy", [Plain, SaptsD, SaptsP], ids=["plain", "data", "layers"])
def test_a_rejected_step_leaves_every_bit_in_place(small_regression, strategy, value):
    problem, theta = small_regression
    before = theta.clone()
    trap = Trap(problem, before.clone(), value)
    engine, reports = run(trap, theta, strategy(subdomains=2), steps=3)
    assert torch.equal(engine.point.theta, before)
    assert torch.equal(theta, before)
    assert not any(report.accepted or report.global_accepted for report in reports)
    if strategy is not SaptsD:
        assert reports[-1].global_radius < reports[0].global_radius
    assert reports[-1].radius < reports[0].radius or strategy is SaptsP  # its own f is the trap


@pytest.mark.parametrize("solver", [SGD.Config(lr=10.0), Adam.Config(lr=10.0)])
@pytest.mark.parametrize("recombination", ["mean", "sum", "best"])
def test_walks_that_end_higher_get_a_smaller_ball(small_regression, solver, recombination):
    problem, theta = small_regression
    strategy = SaptsD(subdomains=2, local_solver=solver, recombination=recombination)
    engine, reports = run(problem, theta, strategy, steps=60)
    assert engine.point.value < 0.25 * problem.at(theta).value
    assert all(report.radius > 0.0 for report in reports)


def test_a_window_of_one_is_monotone():
    values = [(3.0, 2.5, 0.6), (2.5, 2.6, 0.1), (2.5, 2.4, 0.3), (2.4, 2.39999, 1.0)]
    one, monotone = Window(length=1), Monotone()
    for value, trial, predicted in values:
        assert one.judge(value, trial, predicted) == monotone.judge(value, trial, predicted)


def test_a_window_compares_with_the_worst_of_the_last():
    policy = Window(length=3)
    for value, trial in [(5.0, 4.0), (4.0, 3.0), (3.0, 2.0)]:
        policy.judge(value, trial, 1.0)
    # the last three accepted values are 4, 3 and the current 2; 5 has left the window
    assert policy.judge(2.0, 3.5, 1.0).ratio == pytest.approx(0.5)
    restored = Window(length=3)
    restored.load_state_dict(policy.state_dict())
    assert restored.state_dict() == policy.state_dict()


def test_round_off_is_not_judged():
    verdict = Monotone().judge(1.0, 1.0 + 2e-16, 1e-16)
    assert verdict.accepted
    assert verdict.ratio == 1.0
    assert not Monotone().judge(1.0, 1.0 + 1e-12, 1e-16).accepted


def test_evaluations_are_counted_in_full_gradients(small_regression):
    problem, _ = small_regression
    seen = []

    class Counted(Problem):
        def __init__(self, inner):
            self.inner, self.layout, self.samples = inner, inner.layout, inner.samples
            self.cost = inner.cost

        def at(self, theta):
            seen.append(self.inner.cost)
            return self.inner.at(theta)

        def part(self, samples):
            return Counted(self.inner.part(samples))

    theta = small_regression[1]
    _, reports = run(Counted(problem), theta, SaptsD(subdomains=2), steps=4)
    start = 1.0
    assert start + sum(report.total for report in reports) == pytest.approx(sum(seen))
    assert all(report.parallel < report.total for report in reports)


@pytest.mark.parametrize("strategy", [SaptsD, SaptsP, NAPTS], ids=["data", "layers", "napts"])
def test_state_round_trip_gives_the_same_bits(small_regression, strategy):
    problem, theta = small_regression
    engine, _ = run(problem, theta, strategy(subdomains=2), steps=4)
    other = Engine(strategy(subdomains=2).parts(LSR1), Serial(), 2)
    other.load_state_dict(engine.state_dict())
    for _ in range(3):
        a, b = engine.step(problem), other.step(problem)
        assert a == b
        assert torch.equal(engine.point.theta, other.point.theta)


def test_split_evaluation_changes_nothing_but_round_off(small_regression):
    problem, theta = small_regression
    whole, _ = run(problem, theta, Plain(), steps=8)
    split, _ = run(Split(problem, 4, Serial()), theta, Plain(subdomains=4), steps=8)
    assert split.point.value == pytest.approx(whole.point.value, rel=1e-6)


@pytest.mark.parametrize("solver", [TrustRegion, LSSR1])
def test_a_box_that_sticks_out_of_the_ball_is_refused(solver):
    box = {"name": "cauchy", "norm": "inf"}
    with pytest.raises(ValueError, match=r"fills a box .* give the solver norm = 'inf' too"):
        solver(hessian="none", subproblem=box)
    assert solver(hessian="none", subproblem=box, norm="inf").config.norm == "inf"
    assert solver(hessian="none", subproblem="cauchy", norm="inf").config.norm == "inf"


@pytest.mark.parametrize("iterations", [0, 1])
def test_apts_has_one_radius_as_published(small_regression, iterations):
    problem, theta = small_regression
    strategy = APTS(subdomains=4, first_radius=0.5, global_iterations=iterations)
    engine = Engine(strategy.parts(LSR1), Serial(), 4)
    engine.start(problem, theta)
    bounds = engine.parts.preconditioner.solver.radius
    # Line 5 of Algorithm 1; the lower bound is a share of the first radius, which is Δ/4.
    assert (bounds.smallest, bounds.largest) == (1e-12, 1e300 / 4)
    for _ in range(12):
        radius, begun = engine.radius, []
        watch = [engine.parts.global_pass.solver] if iterations else []
        for solver in [*engine.solvers.values(), *watch]:
            note_radius(solver, begun)
        report = engine.step(problem)
        if len(begun) == 4 + iterations:
            assert begun[:4] == [radius / 4] * 4
        grown, shrunk = report.ratio > 0.75, report.ratio < 0.1
        assert report.radius == radius * (2.0 if grown else 0.5 if shrunk else 1.0)  # equation 7
        assert report.accepted == (report.ratio >= 0.1)
        assert begun[4:] in ([], [report.radius])  # line 9: the global pass takes it ...
        assert engine.radius == (report.global_radius if iterations else report.radius)  # and gives
    assert engine.point.value < 0.5 * problem.at(theta).value


def note_radius(solver, begun):
    """Let a solver write down the radius that each call begins with."""
    own = type(solver).solve

    def noted(problem, start, ball, iterations):
        begun.append(solver.radius)
        return own(solver, problem, start, ball, iterations)

    solver.solve = noted

"""What is not finite is rejected: gradients, Jacobians, Hessian products, one subdomain."""

import math

import pytest
import torch

from ddopt.acceptance.monotone import Monotone
from ddopt.acceptance.window import Window
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.problem import Point, Samples
from ddopt.evaluation.question import answered
from ddopt.executor import Serial
from ddopt.hessian import Model
from ddopt.method.engine import Engine
from ddopt.method.parts import StepReport
from ddopt.numerics.space import Layout
from ddopt.numerics.vectors import LOCAL, Geometry
from ddopt.run.stopping import PATIENCE, StopReason, why
from ddopt.run.tally import Tally
from ddopt.setup.component import chosen
from ddopt.setup.resolved import resolve
from ddopt.solver.region import first_radius
from ddopt.solver.wolfe import wolfe
from ddopt.subproblem import Candidate
from ddopt.subproblem.steihaug import Steihaug
from ddopt_sapts.data import APTS, SaptsD
from ddopt_sapts.layers import NAPTS, SaptsP
from ddopt_sapts.trust_region import TrustRegion

SIZE, COUNT = 8, 24
ROWS = torch.randn(COUNT, SIZE, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
TARGET = torch.tanh(ROWS @ torch.linspace(-1.0, 1.0, SIZE, dtype=torch.float64))
WALL = 0.3  # the minimiser, without one, has its last entry at 1

CURVATURES = {
    "quasi_newton": {"hessian": "quasi_newton"},
    "lsr1": {"hessian": "lsr1"},
    "lbfgs": {"hessian": "lbfgs"},
    "ssbroyden": {"hessian": "ssbroyden"},
    "none": {"hessian": "none", "subproblem": "cauchy"},
    "steihaug": {"hessian": "exact", "subproblem": "steihaug"},
    "cauchy": {"hessian": "exact", "subproblem": "cauchy"},
    "dogleg": {"hessian": "exact", "subproblem": "dogleg"},
    "gauss_newton": {"hessian": "gauss_newton"},
}
SOLVERS = {
    **{key: {"name": "trust_region", **options} for key, options in CURVATURES.items()},
    "adam in a region": {"name": "trust_region_adam"},
    "lssr1": {"name": "lssr1"},
}
STRATEGIES = {
    "plain": TrustRegion(),
    "data, best": SaptsD(subdomains=2, local_iterations=3),
    "data, mean": SaptsD(subdomains=2, local_iterations=3, recombination="mean"),
    "data, sum": APTS(subdomains=2),
    "layers": SaptsP(subdomains=2),
    "coarse": NAPTS(subdomains=2),
}


class Cliff(torch.autograd.Function):
    """The identity; its derivative is ``beyond``, if that is not one, above the wall."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, beyond):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.beyond = inputs[1]

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        if ctx.beyond == 1.0:
            return g, None
        return torch.where(x[-1] > WALL, torch.full_like(g, ctx.beyond), g), None


class Squares(AutogradProblem):
    """Mean squares with residuals; ``beyond`` the wall its value is as it is, its gradient not."""

    def __init__(self, beyond=1.0):
        self.beyond = beyond
        layout = Layout(("a", "b"), (torch.Size([SIZE // 2]),) * 2)
        super().__init__(layout, self._squares, Samples.all(COUNT))

    def _errors(self, named, index):
        x = Cliff.apply(torch.cat([named["a"], named["b"]]), self.beyond)
        return torch.tanh(ROWS[index] @ x) - TARGET[index]

    def _squares(self, named, samples):
        return (self._errors(named, samples.terms[0]).square().sum(),)

    def residuals(self, theta):
        index = self.samples.terms[0]
        return self._errors(self.named(theta), index) / len(index) ** 0.5


class Sometimes(Squares):
    """Curvature that is not finite in its first ``faults`` uses, whoever asks for it."""

    def __init__(self, faults):
        super().__init__()
        self.left = [faults]  # shared with the parts

    def _spoiled(self, found):
        self.left[0] -= 1
        return found * math.nan if self.left[0] >= 0 else found

    def curvature(self, theta):
        multiply = super().curvature(theta)
        return lambda v: self._spoiled(multiply(v))

    def jacobian(self, theta, dtype=None):
        return self._spoiled(super().jacobian(theta, dtype))


def engine(problem, strategy, solver, theta=None):
    strategy, options = resolve(strategy, chosen("solver", SOLVERS[solver]))
    made = Engine(strategy.parts(options), Serial(), 1)
    made.start(problem, torch.zeros(SIZE, dtype=torch.float64) if theta is None else theta)
    return made


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_step_to_where_the_gradient_is_not_finite_is_rejected(strategy, solver):
    beyond = math.inf if solver in ("lsr1", "none") else math.nan
    made = engine(Squares(beyond), STRATEGIES[strategy], solver)
    start, faults = made.point.value, 0
    for _ in range(12 if strategy != "plain" else 25):
        report = made.step(Squares(beyond))
        faults += report.non_finite
        assert not report.stuck
        assert made.point.theta[-1] <= WALL
        assert bool(made.point.gradient.isfinite().all())
    assert faults  # the minimiser lies beyond
    assert made.point.value < 0.6 * start


@pytest.mark.parametrize("strategy", ["plain", "layers", "data, best"])
@pytest.mark.parametrize("solver", ["steihaug", "cauchy", "dogleg", "gauss_newton"])
def test_curvature_that_is_not_finite_rejects_and_the_run_goes_on(strategy, solver):
    problem = Sometimes(1)
    made = engine(problem, STRATEGIES[strategy], solver)
    first = made.step(problem)
    assert first.non_finite >= 1
    if strategy == "plain":
        assert (first.accepted, first.global_rejected) == (False, 1)
        start = problem.at(torch.zeros(SIZE, dtype=torch.float64))
        assert first.radius == 0.5 * first_radius(start, LOCAL)
    for _ in range(8):
        assert made.step(problem).non_finite == 0
    assert made.point.value < 0.5 * Squares().at(torch.zeros(SIZE, dtype=torch.float64)).value


class Given(Model):
    """The model with g (n,) and the matrix B (n, n)."""

    def __init__(self, gradient, matrix):
        self.gradient, self.matrix = gradient, matrix

    def mv(self, vector):
        return self.matrix @ vector


@pytest.mark.parametrize("bad", [1e200, -1e250, 1e300])
def test_conjugate_gradients_stop_inside_the_ball_where_products_are_absurd(bad):
    """A spoiled row of B: the second direction overflows, and the step is that of the first."""
    g = torch.linspace(-1.0, 1.0, 8, dtype=torch.float64)
    B = torch.eye(8, dtype=torch.float64)
    B[:, 6] = bad
    found = Steihaug().solve(Given(g, B), 0.75)
    assert float(found.step.norm()) <= 0.75
    assert found.norm <= 0.75
    assert found.norm == pytest.approx(float(found.step.norm()))


def test_a_coarse_model_that_is_not_finite_shrinks_the_radius_and_the_run_goes_on():
    problem = Sometimes(1)
    made = engine(problem, NAPTS(subdomains=2, global_iterations=0), "lsr1")
    start = made.point.value
    report = made.step(problem)
    assert (report.accepted, report.non_finite, report.radius) == (False, 1, 0.5)
    assert made.point.value == start
    for _ in range(20):
        made.step(problem)
    assert made.point.value < 0.7 * start


class OneBadPart(Squares):
    """The mean over all samples is finite, and over every part that holds sample 0 nan."""

    def part(self, samples):
        part = super().part(samples)
        if 0 in samples.terms[0]:
            whole = part.at

            def at(theta):
                point = whole(theta)
                return Point(theta, math.nan, point.gradient)

            part.at = at
        return part


@pytest.mark.parametrize("recombination", ["mean", "sum", "best", "coarse"])
def test_one_subdomain_that_is_not_finite_leaves_the_step_to_the_others(recombination):
    problem = OneBadPart()
    strategy = SaptsD(subdomains=3, overlap=0.0, recombination=recombination)
    made = engine(problem, strategy, "lsr1")
    start = made.point.value
    reports = [made.step(problem) for _ in range(6)]
    assert all(report.non_finite >= 1 for report in reports)
    assert any(report.accepted for report in reports)
    assert made.point.value < start


def test_best_takes_no_end_of_a_subdomain_that_has_stood_still():
    """Where all who have moved end higher on f, the step is theirs: rejected, a smaller radius."""
    problem = OneBadPart()
    strategy = SaptsD(subdomains=3, overlap=0.0, consistency=False, recombination="best")
    made = engine(problem, strategy, "lsr1", torch.linspace(-1.0, 1.0, SIZE).double())
    made.point.value = 0.0  # nothing is lower
    report = made.step(problem)
    if report.local_accepted:
        assert not report.accepted
        assert report.radius < 1.0


def test_a_draw_that_is_not_finite_is_passed_over():
    good = [Squares() for _ in range(4)]
    bad = Squares()
    bad._sums = lambda named, samples: (good[0]._squares(named, samples)[0] * math.nan,)
    for number, problem in enumerate([*good[:2], bad, *good[2:]]):
        problem.draw = number + 1
    made = engine(good[0], TrustRegion(), "lsr1")
    made.step(good[0])
    made.step(good[1])
    theta, radius = made.point.theta, made.current_radius
    report = made.step(bad)
    assert (report.non_finite, report.stuck, report.accepted) == (1, False, False)
    assert torch.equal(made.point.theta, theta)
    assert made.current_radius == radius  # not its fault
    assert math.isfinite(report.loss)
    reports = [made.step(problem) for problem in good[2:]]
    assert not any(report.non_finite for report in reports)
    assert reports[-1].iteration == 4


def test_a_gradient_that_is_not_finite_at_the_iterate_is_no_stationary_point():
    theta = torch.full((SIZE,), 2.0 * WALL, dtype=torch.float64)
    made = engine(Squares(math.nan), TrustRegion(), "lsr1", theta)
    report = made.step(Squares(math.nan))
    assert report.stuck
    assert why(stop(), tally(report), report, None) is StopReason.NO_FINITE_STEP


def stop():
    from ddopt.setup.config import Stop

    return Stop(iterations=100)


def tally(*reports):
    counted = Tally()
    for report in reports:
        counted.count(report)
    return counted


def test_the_reason_names_what_was_not_finite():
    fruitless = StepReport(loss=1.0, radius=1e-12, local_rejected=1)
    broken = StepReport(loss=1.0, radius=1e-12, local_rejected=1, non_finite=1)
    silent = StepReport(loss=1.0, radius=1e-12, non_finite=1)
    nothing = StepReport(loss=1.0, radius=1e-12)
    many = PATIENCE + 1
    assert why(stop(), tally(nothing), nothing, None) is StopReason.STATIONARY
    assert why(stop(), tally(silent), silent, None) is None
    assert why(stop(), tally(*[fruitless] * many), fruitless, None) is StopReason.RADIUS_TOO_SMALL
    assert why(stop(), tally(*[broken] * many), broken, None) is StopReason.NO_FINITE_STEP
    assert why(stop(), tally(*[silent] * many), silent, None) is StopReason.NO_FINITE_STEP
    assert [reason.failed for reason in StopReason].count(True) == 2


@pytest.mark.parametrize("blind", [False, True])
def test_a_policy_remembers_no_trial_whose_gradient_is_not_finite(blind):
    policy, f = Window(length=3), Squares()
    theta = torch.zeros(SIZE, dtype=torch.float64)
    policy.by_value = blind
    point, trial = Point(theta, 2.0, theta), Point(theta, 1.0, theta * math.nan)
    before = policy.state_dict()
    verdict = policy.consider(f, point, trial, 1.0, 1.0)
    assert verdict.accepted is blind
    assert verdict.non_finite is not blind
    assert (policy.state_dict() == before) is not blind


def test_a_policy_of_its_own_judgement_takes_no_gradient_that_is_not_finite():
    class Kind(Monotone):
        def judge(self, value, trial, predicted):
            return super().judge(trial + 1.0, trial, 1.0)

    theta = torch.zeros(2, dtype=torch.float64)
    point, trial = Point(theta, 1.0, theta), Point(theta, 2.0, theta * math.nan)
    assert Kind().consider(Squares(), point, trial, 1.0, 1.0).ratio == -math.inf


def test_a_rejected_trial_is_asked_for_no_gradient():
    theta = torch.zeros(2, dtype=torch.float64)
    trial = Point(theta, 2.0, lambda: pytest.fail("a backward pass for nothing"))
    assert not Monotone().consider(Squares(), Point(theta, 1.0, theta), trial, 1.0, 1.0).accepted


def test_a_line_search_goes_back_from_where_the_gradient_is_not_finite():
    one = torch.ones(1, dtype=torch.float64)

    def visit(theta):  # f = (x - 1)², its gradient is nan beyond 0.4
        x = float(theta)
        return Point(theta, (x - 1.0) ** 2, 2.0 * (theta - 1.0) * (math.nan if x > 0.4 else 1.0))

    start = visit(0.0 * one)
    _, end = answered(wolfe(lambda x: x, start, Candidate(one, 1.0, 1.0), LOCAL, 5), tell=visit)
    assert 0.0 < float(end.theta) <= 0.4


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_walk_enters_no_point_whose_gradient_is_not_finite(solver):
    f = Squares(math.nan)
    start = f.both(torch.zeros(SIZE, dtype=torch.float64))
    made = chosen("solver", {"name": solver, "lr": 0.2}).build()
    answer = made.solve(f, start, math.inf, 50)
    assert (answer.rejected, answer.non_finite) == (1, 1)
    assert answer.end.theta[-1] <= WALL
    assert bool(answer.end.gradient.isfinite().all())


def test_large_entries_are_finite_though_their_norm_overflows():
    assert Geometry().finite(torch.full((4,), 1e300, dtype=torch.float64))
    assert not Geometry().finite(torch.tensor([0.0, -math.inf]))

"""Additional sampling: what ASNTR takes and refuses, and how the batches grow."""

import pytest
import torch

from ddopt.acceptance.asntr import ASNTR
from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.decomposition.product import Product
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.executor import Serial, Split
from ddopt.method.engine import Engine
from ddopt.method.parts import StepReport
from ddopt.numerics.space import Layout
from ddopt.sampling.adaptive import Adaptive
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import rotated_quadratic
from ddopt_sapts.data import SaptsD
from ddopt_sapts.hybrid import Hybrid
from ddopt_sapts.layers import SaptsP
from ddopt_sapts.sapts import Sapts
from ddopt_sapts.trust_region import TrustRegion as Plain

ONE = torch.ones(1, dtype=torch.float64)


class Slope(Problem):
    """f(θ) = a θ of one parameter."""

    def __init__(self, a: float) -> None:
        self.layout, self.a, self.cost = Layout.flat(1, ONE.dtype), a, 0.25

    def at(self, theta):
        return Point(theta, self.a * float(theta[0]), self.a * ONE)


def judged(policy, batch_slope, extra_slope, step, radius=1.0):
    problem = Slope(batch_slope)
    problem.extra = None if extra_slope is None else Slope(extra_slope)
    start, trial = problem.at(0.0 * ONE), problem.at(step * ONE)
    return policy.consider(problem, start, trial, abs(batch_slope * step), radius)


def test_the_reference_rises_by_a_summable_multiple_of_the_radius():
    policy = ASNTR(slack=2.0)
    for k in range(4):
        verdict = judged(policy, 1.0, None, 0.5, radius=0.25)  # a rise of 0.5, predicted 0.5
        allowed = 2.0 * 0.25 / (k + 1) ** 1.1
        assert verdict.ratio == pytest.approx((allowed - 0.5) / 0.5)
        assert verdict.accepted == (allowed - 0.5 >= 1e-4 * 0.5)
        assert not verdict.refuted


@pytest.mark.parametrize(
    ("extra_slope", "accepted"),
    [
        (-1.0, True),  # gains 0.5, more than ν |slope|² = 0.1
        (1.0, False),  # loses 0.5
        (-0.0, True),  # neither: 0 ≥ 0
        (-10.0, False),  # gains 5, but so steep a slope asks for 10
    ],
)
def test_the_additional_samples_decide(extra_slope, accepted):
    policy = ASNTR(slack=0.0, sample_slack=0.0, sample_threshold=0.1)
    verdict = judged(policy, -1.0, extra_slope, 0.5)
    assert verdict.ratio == 1.0
    assert (verdict.accepted, verdict.refuted) == (accepted, not accepted)


def test_a_trial_that_the_batch_refuses_is_not_shown_to_the_additional_samples():
    verdict = judged(ASNTR(slack=0.0), 1.0, -1.0, 0.5)
    assert (verdict.accepted, verdict.refuted) == (False, False)


def test_the_forgiven_rise_on_the_additional_samples_is_summable():
    policy = ASNTR(slack=0.0, sample_slack=1.0, sample_threshold=0.0)
    taken = [judged(policy, -1.0, 1.0, 0.5).accepted for _ in range(4)]
    assert taken == [1.0 / (k + 1) ** 1.1 >= 0.5 for k in range(4)]


def test_without_slack_and_samples_it_is_monotone():
    f = rotated_quadratic(8, condition=100.0)
    theta = torch.ones(8, dtype=torch.float64)
    plain = TrustRegion(acceptance=Monotone.Config())
    asntr = TrustRegion(acceptance=ASNTR.Config(slack=0.0))
    a, b = (s.solve(f, f.at(theta), float("inf"), 12) for s in (plain, asntr))
    assert torch.equal(a.step, b.step)


def test_its_count_is_its_state():
    policy, other = ASNTR(), ASNTR()
    judged(policy, -1.0, None, 0.5)
    other.load_state_dict(policy.state_dict())
    assert judged(policy, 1.0, None, 0.2) == judged(other, 1.0, None, 0.2)


def test_additional_samples_are_new_in_every_draw_and_end_with_the_full_batch(
    small_regression,
):
    problem, _ = small_regression
    sampling = Adaptive(size=10, extra=7, iterations=2)
    sampling.prepare(3)
    first, second, third = (sampling.problem(problem, k) for k in range(3))
    assert torch.equal(first.samples.terms[0], second.samples.terms[0])
    assert torch.equal(first.extra.samples.terms[0], second.extra.samples.terms[0])
    assert not torch.equal(first.extra.samples.terms[0], third.extra.samples.terms[0])
    again = sampling.problem(problem, 0).extra.samples.terms[0]
    assert torch.equal(first.extra.samples.terms[0], again)
    assert len(again) == len(again.unique()) == 7
    assert Split(first, 2, Serial()).extra is first.extra
    sampling.size = float(len(problem.samples))
    assert sampling.problem(problem, 4).extra is None


def test_batches_grow_when_a_step_is_refuted_and_never_shrink():
    full, sampling = Samples.all(600), Adaptive(size=20, growth=2.0)
    sizes = []
    for k in range(60):
        sizes.append(len(sampling.samples(full, k)))
        sampling.observe(StepReport(iteration=k, refuted=int(k % 10 == 9), loss=1.0))
        saved = sampling.state_dict()
        sampling = Adaptive(size=20, growth=2.0)
        sampling.load_state_dict(saved)
    own = sizes[9::10]  # the overlap comes on top, except in a first batch
    assert own == sorted(own)
    assert sizes[0] == 20
    assert sizes[-1] == 600


def test_a_run_with_additional_samples_pays_for_them_and_improves(small_regression):
    problem, theta = small_regression
    sampling = Adaptive(size=15, extra=5, growth=1.5, overlap=0.0)
    solver = TrustRegion.Config(acceptance=ASNTR.Config(sample_slack=0.0))
    engine = Engine(Plain().parts(solver), Serial(), 1)
    engine.start(sampling.problem(problem, 0), theta)
    before = problem.at(theta).value
    refuted, size = 0, sampling.size
    for k in range(60):
        part = sampling.problem(problem, k)
        report = engine.step(part)
        sampling.observe(report)
        refuted += report.refuted
        assert sampling.size >= size
        size = sampling.size
        if part.extra is not None and (report.accepted or report.refuted):
            trials = report.global_accepted + report.global_rejected
            fresh = part.cost if k else 0.0  # f and g at θ_k on the new batch
            assert report.total == pytest.approx(fresh + trials * part.cost + 2 * part.extra.cost)
    assert refuted > 0
    assert problem.at(engine.point.theta).value < 0.3 * before


LOCAL = {
    "layers": SaptsP(subdomains=2),
    "layers, Frozen": Sapts(
        decomposition=Product(parameters=Layers(subdomains=2), samples=Data(subdomains=1))
    ),
    "parts": SaptsD(subdomains=2, overlap=0.0),
    "pairs": Hybrid(),
}


@pytest.mark.parametrize("strategy", LOCAL)
def test_local_problems_have_no_additional_samples(small_regression, strategy):
    problem, theta = small_regression
    problem.extra = problem.part(Samples((torch.arange(5),)))
    parts = LOCAL[strategy].parts(TrustRegion.Config(acceptance="asntr"))
    subdomains = parts.preconditioner.decomposition.split(problem)
    point = problem.both(theta)
    assert [s.objective(problem, point).extra for s in subdomains] == [None] * len(subdomains)
    engine = Engine(parts, Serial(), 2)
    engine.start(problem, theta)
    assert [engine.step(problem).accepted for _ in range(3)].count(True) > 0
    assert problem.extra is not None  # that of f is where it was


def test_a_refuted_mini_batch_keeps_its_samples_until_the_next_draw():
    full = Samples.all(1000)
    sampling = Adaptive(size=100, iterations=3, growth=2.0)
    drawn = [sampling.samples(full, 0)]
    for k in range(6):
        sampling.observe(StepReport(iteration=k, refuted=int(k == 0)))
        drawn.append(sampling.samples(full, k + 1))
    assert [sampling.draw(k) for k in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    for k in (1, 2):
        assert torch.equal(drawn[k].terms[0], drawn[0].terms[0])
    assert [len(samples) for samples in drawn] == [100, 100, 100, 200, 200, 200, 210]

"""Mini-batches: partitions, overlaps, determinism, growth; and an engine that follows them."""

from itertools import pairwise

import pytest
import torch

from ddopt.dropout import Dropout, dropping
from ddopt.evaluation.problem import Problem, Samples
from ddopt.executor import Serial, Split
from ddopt.method.engine import Engine
from ddopt.method.parts import StepReport
from ddopt.numerics.randomness import generator, key, mixed
from ddopt.sampling.batches import Batches
from ddopt.sampling.full import Full
from ddopt.solver.trust_region import TrustRegion
from ddopt_sapts.data import SaptsD
from ddopt_sapts.trust_region import TrustRegion as Plain

LSR1 = TrustRegion.Config(first_radius=0.5)


def drawn(sampling, full, iterations):
    return [sampling.samples(full, k).terms[0] for k in range(iterations)]


def test_the_full_batch_is_the_problem_itself(small_regression):
    problem, _ = small_regression
    assert Full().problem(problem, 7) is problem
    assert Batches(size=100).problem(problem, 7) is problem


@pytest.mark.parametrize(("n", "size"), [(60, 10), (37, 10), (37, 36)])
def test_batches_without_overlap_partition_every_epoch(n, size):
    full = Samples.all(n)
    count = -(-n // size)
    batches = drawn(Batches(size=size, overlap=0.0), full, 2 * count)
    epochs = [torch.cat(batches[:count]), torch.cat(batches[count:])]
    for epoch in epochs:
        assert torch.equal(epoch.sort().values, torch.arange(n))
    assert not torch.equal(batches[0], batches[count])  # another order in every epoch
    assert max(map(len, batches)) <= size


@pytest.mark.parametrize("overlap", [0.05, 0.33])
def test_consecutive_batches_share_the_given_fraction(overlap):
    batches = drawn(Batches(size=100, overlap=overlap), Samples.all(600), 6)
    for earlier, later in pairwise(batches):
        assert torch.isin(earlier, later).sum() == round(overlap * 100)
        assert len(later) == len(later.unique()) == 100 + round(overlap * 100)
    assert len(batches[0]) == 100  # the first has nothing before it


def test_batches_overlap_across_the_border_of_two_epochs():
    batches = drawn(Batches(size=100, overlap=0.2), Samples.all(300), 6)
    assert torch.isin(batches[2], batches[3]).sum() >= 20
    assert len(batches[3]) == len(batches[3].unique())


def test_batches_pick_from_the_given_samples_in_every_term():
    full = Samples((torch.arange(100, 140), torch.arange(7)))
    for k in range(4):
        part = Batches(size=12).samples(full, k)
        assert torch.isin(part.terms[0], full.terms[0]).all()
        assert 1 <= len(part.terms[1]) <= 7


def test_order_is_that_of_the_seed_and_no_global_state():
    full = Samples.all(100)
    one, same, other = Batches(size=10), Batches(size=10), Batches(size=10)
    one.prepare(3)
    same.prepare(3)
    other.prepare(4)
    forward = drawn(one, full, 25)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    backward = [same.samples(full, k).terms[0] for k in reversed(range(25))][::-1]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert not torch.equal(forward[0], other.samples(full, 0).terms[0])


def test_several_iterations_may_share_a_batch(small_regression):
    problem, theta = small_regression
    sampling = Batches(size=10, iterations=3)
    draws = [sampling.problem(problem, k).draw for k in range(7)]
    assert draws == [1, 1, 1, 2, 2, 2, 3]
    engine = Engine(Plain().parts(LSR1), Serial())
    first = sampling.problem(problem, 0)
    engine.start(first, theta)
    totals = [engine.step(sampling.problem(problem, k)).total / first.cost for k in range(4)]
    assert totals[:3] == [1.0, 1.0, 1.0]
    assert totals[3] > 1.5  # the new batch is evaluated at θ_k as well


class Counted(Problem):
    """Adds up what the evaluations cost, and notes where on which samples they happened."""

    def __init__(self, inner, log):
        self.inner, self.log = inner, log
        self.layout, self.samples = inner.layout, inner.samples
        self.cost, self.draw = inner.cost, inner.draw

    def at(self, theta):
        self.log.append((self.cost, self.draw, theta.clone()))
        return self.inner.at(theta)

    def part(self, samples):
        return Counted(self.inner.part(samples), self.log)


@pytest.mark.parametrize("strategy", [Plain(), SaptsD(subdomains=2)], ids=["plain", "data"])
def test_an_engine_evaluates_anew_on_every_batch_and_says_so(small_regression, strategy):
    problem, theta = small_regression
    log = []
    whole, sampling = Counted(problem, log), Batches(size=12, overlap=0.2)
    engine = Engine(strategy.parts(LSR1), Serial())
    start = engine.start(sampling.problem(whole, 0), theta)
    total = start
    for k in range(6):
        batch = sampling.problem(whole, k)
        before = engine.point.theta
        if k:
            log.clear()
        report = engine.step(batch)
        if k:
            assert (log[0][1], torch.equal(log[0][2], before)) == (k + 1, True)
            assert sum(cost for cost, _, _ in log) == pytest.approx(report.total)
        total += report.total
        assert report.loss == batch.at(engine.point.theta).value
    assert total > start


def test_every_secant_pair_belongs_to_one_batch(small_regression):
    problem, theta = small_regression
    sampling = Batches(size=12, overlap=0.2)
    engine = Engine(Plain().parts(LSR1), Serial())
    pairs = []
    engine.parts.global_pass.solver.hessian.update = lambda s, y: pairs.append((s, y))
    engine.start(sampling.problem(problem, 0), theta)
    for k in range(5):
        batch, before = sampling.problem(problem, k), engine.point.theta
        pairs.clear()
        engine.step(batch)
        for s, y in pairs:
            change = batch.at(before + s).gradient - batch.at(before).gradient
            assert torch.allclose(y, change, rtol=1e-9, atol=1e-14)


def test_resuming_between_batches_gives_the_same_bits(small_regression):
    problem, theta = small_regression

    def engine():
        return Engine(SaptsD(subdomains=2).parts(LSR1), Serial(), 2)

    def step(engine, sampling, k):
        report = engine.step(Split(sampling.problem(problem, k), 2, Serial()))
        sampling.observe(report)
        return report

    options = {"size": 8, "growth": 2.0, "patience": 1, "iterations": 2}
    one, sampling = engine(), Batches(**options)
    one.start(Split(sampling.problem(problem, 0), 2, Serial()), theta)
    for k in range(5):
        step(one, sampling, k)
    other, resumed = engine(), Batches(**options)
    other.load_state_dict(one.state_dict())
    resumed.load_state_dict(sampling.state_dict())
    for k in range(5, 12):
        assert step(one, sampling, k) == step(other, resumed, k)
        assert torch.equal(one.point.theta, other.point.theta)


def test_batches_grow_where_the_loss_stagnates_until_they_are_everything():
    full = Samples.all(100)
    sampling = Batches(size=10, growth=2.0, patience=2, overlap=0.0)
    sizes = []
    for k in range(24):
        samples = sampling.samples(full, k)
        sizes.append(len(samples))
        sampling.observe(StepReport(iteration=k, loss=1.0))
    assert sizes[:4] == [10] * 4
    assert all(later >= earlier - 1 for earlier, later in pairwise(sizes))  # 33, 33, 34
    assert {10, 20} < set(sizes)
    assert sampling.samples(full, 24) is full
    still = Batches(size=10, growth=2.0, patience=2)
    for k in range(12):
        still.observe(StepReport(iteration=k, loss=1.0 / (k + 1)))
    assert still.size == 10


def test_mini_batches_reach_a_good_loss(small_regression):
    problem, theta = small_regression
    sampling = Batches(size=19, iterations=4, growth=2.0, patience=8)
    engine = Engine(SaptsD(subdomains=2).parts(LSR1), Serial())
    engine.start(sampling.problem(problem, 0), theta)
    for k in range(40):
        sampling.observe(engine.step(sampling.problem(problem, k)))
    assert problem.at(engine.point.theta).value < 0.1 * problem.at(theta).value


def test_keys_and_generators_depend_on_all_that_is_said():
    assert key(0, "a", 1) == key(0, "a", 1)
    assert len({key(0, "a", 1), key(1, "a", 1), key(0, "b", 1), key(0, "a", 2)}) == 4
    assert torch.equal(
        torch.rand(3, generator=generator(0, "x")), torch.rand(3, generator=generator(0, "x"))
    )


def test_mixed_numbers_are_a_permutation_and_look_uniform():
    numbers = mixed(torch.arange(100_000))
    assert len(numbers.unique()) == 100_000
    share = numbers.double() / 2**32
    assert share.mean() == pytest.approx(0.5, abs=5e-3)
    neighbours = torch.corrcoef(torch.stack([share[:-1], share[1:]]))[0, 1]
    assert abs(neighbours) < 0.01


def test_dropout_masks_follow_the_sample_not_the_batch():
    layer = Dropout(0.3)
    x = torch.ones(50, 40, 5)
    samples = torch.arange(50) * 7
    with dropping(1, samples):
        whole = layer(x)
    with dropping(1, samples[20:30]):
        part = layer(x[20:30])
    with dropping(2, samples):
        another = layer(x)
    assert torch.equal(whole[20:30], part)
    assert not torch.equal(whole, another)
    assert (whole == 0).double().mean() == pytest.approx(0.3, abs=0.02)
    assert float(whole.max()) == pytest.approx(1 / 0.7)
    assert torch.equal(layer(x), x)  # nobody said for whom


def test_two_dropout_layers_drop_different_units():
    x = torch.ones(20, 100)
    one, two = Dropout(0.5), Dropout(0.5)
    with dropping(1, torch.arange(20)):
        a, b = one(x), two(x)
    assert ((a == 0) == (b == 0)).double().mean() == pytest.approx(0.5, abs=0.05)

"""Full batches by accumulation over chunks: the same f to round-off, in the memory of one chunk."""

import pytest
import torch

from ddopt.decomposition.layers import Layers
from ddopt.evaluation.derived import held
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.solver.trust_region import TrustRegion
from ddopt_sapts.data import SaptsD


def chunked(problem, chunk):
    return problem._but(chunk=chunk)


@pytest.mark.parametrize("chunk", [1, 5, 36, 37, 100])
def test_chunks_change_nothing_but_round_off(small_regression, chunk):
    problem, theta = small_regression
    whole, pieces = problem.at(theta), chunked(problem, chunk).at(theta)
    assert pieces.value == pytest.approx(whole.value, rel=1e-14)
    assert torch.allclose(pieces.gradient, whole.gradient, rtol=1e-12, atol=1e-15)
    v = torch.ones_like(theta)
    product = chunked(problem, chunk).curvature(theta)(v)
    assert torch.allclose(product, problem.curvature(theta)(v), rtol=1e-11, atol=1e-14)


def test_chunks_of_parts_shares_and_layers(small_regression):
    problem, theta = small_regression
    small = chunked(problem, 4)
    samples = Samples((torch.arange(3, 30),))
    for a, b in [
        (problem.part(samples), small.part(samples)),
        (problem.share(samples), small.share(samples)),
        (problem.part(samples).share(samples), small.part(samples).share(samples)),
    ]:
        assert b.at(theta).value == pytest.approx(a.at(theta).value, rel=1e-14)
        assert torch.allclose(b.at(theta).gradient, a.at(theta).gradient, rtol=1e-12, atol=1e-15)
        assert b.cost == a.cost
    indices = Layers(subdomains=2).split(problem)[1].indices
    part = theta[indices]
    point = problem.at(theta)
    a, b = held(problem, point, indices).at(part), held(small, point, indices).at(part)
    assert b.value == pytest.approx(a.value, rel=1e-14)
    assert torch.allclose(b.gradient, a.gradient, rtol=1e-12, atol=1e-15)


def test_no_pass_sees_more_than_a_chunk_and_value_with_gradient_is_one_pass(small_regression):
    problem, theta = small_regression
    seen = []

    def sums(named, samples):
        seen.append(len(samples))
        return problem._sums(named, samples)

    small = problem._but(_sums=sums, chunk=10)
    point = small.at(theta)
    gradient = point.gradient
    assert seen == [9, 9, 9, 10]
    seen.clear()
    both = small.both(theta)
    assert both.value == point.value
    assert torch.equal(both.gradient, gradient)
    assert seen == [9, 9, 9, 10]


def test_a_chunked_run_computes_no_value_twice(small_regression):
    problem, theta = small_regression
    passes = 0

    def sums(named, samples):
        nonlocal passes
        passes += 1
        return problem._sums(named, samples)

    small = problem._but(_sums=sums, chunk=10)
    meter = Meter()
    TrustRegion().solve(Metered(small, meter), small.both(theta), float("inf"), 10)
    assert passes == 4 * (1 + meter.total)


def test_chunks_of_two_terms_keep_their_shares():
    pieces = Samples.all(20, 5).chunks(10)
    assert [piece.counts for piece in pieces] == [(6, 1), (7, 2), (7, 2)]
    for t, n in enumerate((20, 5)):
        assert torch.equal(torch.cat([piece.terms[t] for piece in pieces]), torch.arange(n))


def test_a_chunked_run_follows_the_whole_one(small_regression):
    problem, theta = small_regression
    ends = []
    for f in (problem, chunked(problem, 8)):
        solver = TrustRegion.Config(first_radius=0.5)
        engine = Engine(SaptsD(subdomains=2).parts(solver), Serial())
        engine.start(f, theta)
        for _ in range(5):
            engine.step(f)
        ends.append(engine.point.value)
    assert ends[1] == pytest.approx(ends[0], rel=1e-6)

"""A rejected step, shortened: its line's parabola, and what a retry costs."""

import math

import pytest
import torch

from ddopt.evaluation.problem import Point, Problem
from ddopt.executor import Serial, Split
from ddopt.method.engine import Engine
from ddopt.method.retry import LONGEST, SHORTEST, predicted_at, shortened
from ddopt.numerics.vectors import norm
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.ranks import run_ranks
from ddopt_sapts.data import SaptsD
from tests.test_distributed import LAYOUT, N, initial, regression

LSR1 = TrustRegion.Config(hessian={"name": "lsr1", "memory": 5})


@pytest.mark.parametrize("tau", [0.15, 0.3, 0.45])
def test_the_next_step_ends_where_a_parabola_is_least(tau):
    slope = -3.0
    assert shortened(slope, slope - slope / (2.0 * tau)) == pytest.approx(tau)


def test_the_next_step_is_shorter_but_no_crumb():
    assert shortened(-1.0, 1e9) == SHORTEST
    assert shortened(-1.0, math.inf) == shortened(-1.0, math.nan) == SHORTEST
    assert shortened(-1.0, -0.9) == LONGEST  # f bends upwards a little: its minimum lies beyond
    assert shortened(-1.0, -1.5) == LONGEST  # f bends downwards


@pytest.mark.parametrize("predicted", [0.2, 0.5, 1.0, 3.0])
def test_the_prediction_is_that_of_the_model_along_the_line(predicted):
    slope = -1.0
    assert predicted_at(1.0, slope, predicted) == pytest.approx(predicted)
    assert predicted_at(1e-8, slope, predicted) == pytest.approx(1e-8)  # first order
    half = predicted_at(0.5, slope, predicted)
    assert predicted_at(0.25, slope, predicted) == pytest.approx(
        predicted_at(0.5, 0.5 * slope, half)
    )
    assert all(predicted_at(0.1 * i, slope, predicted) > 0.0 for i in range(1, 6))


class Wall(Problem):
    """f, but not a number farther than ``reach`` from the start."""

    def __init__(self, problem, start, reach):
        self.problem, self.start, self.reach = problem, start, reach
        self.layout, self.samples = problem.layout, problem.samples
        self.geometry = problem.geometry

    def at(self, theta):
        point = self.problem.at(theta)
        if norm(theta - self.start) <= self.reach:
            return point
        return Point(theta, math.nan, lambda: point.gradient)

    def part(self, samples):
        return self.problem.part(samples)


def one_iteration(reach, retries, executor=None):
    """What an outer iteration does with its first step, at least ten times too long."""
    executor = executor or Serial()
    options = {"recombination": "mean", "first_radius": 0.1, "global_iterations": 0}
    parts = SaptsD(subdomains=2, retries=retries, **options).parts(LSR1)
    engine = Engine(parts, executor, shares=2)
    engine.prepare(LAYOUT)
    problem = Wall(Split(regression(), 2, executor), initial(), reach)
    engine.start(problem, initial())
    return engine, engine.step(problem)


def test_the_best_end_cannot_be_tried_again():
    with pytest.raises(ValueError, match=r"'best' has no step to try again.*Set retries = 0"):
        SaptsD(retries=1).parts(LSR1)


def test_a_retry_saves_the_iteration():
    engine, at_once = one_iteration(math.inf, 0)
    step = engine.point.theta - initial()
    assert at_once.accepted
    stays, report = one_iteration(0.5 * norm(step), 0)
    assert not report.accepted
    assert torch.equal(stays.point.theta, initial())
    moves, report = one_iteration(0.5 * norm(step), 2)
    assert report.accepted
    assert report.retried == 1
    torch.testing.assert_close(moves.point.theta - initial(), SHORTEST * step)
    assert report.step_norm == pytest.approx(SHORTEST * norm(step))
    assert report.loss < regression().at(initial()).value
    gone, report = one_iteration(1e-9, 3)
    assert not report.accepted
    assert report.retried == 3
    assert torch.equal(gone.point.theta, initial())


def traffic(executor):
    """Bytes of an iteration that is accepted at once, of one with a retry, and of a value."""
    engine, at_once = one_iteration(math.inf, 1, executor)
    reach = 0.5 * norm(engine.point.theta - initial())
    _, again = one_iteration(reach, 1, executor)
    before = executor.bytes_sent
    Split(regression(), 2, executor).at(initial())
    assert (again.accepted, again.retried, at_once.retried) == (True, 1, 0)
    return at_once.bytes_sent, again.bytes_sent, executor.bytes_sent - before


@pytest.mark.ranks
def test_a_rejection_moves_scalars_only():
    for at_once, again, value in run_ranks(traffic, 2):
        assert again - at_once == value
        assert value < 8 * N

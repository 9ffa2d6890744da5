"""The Wolfe search and the momentum of L-SSR1-TR."""

import math

import pytest
import torch

from ddopt.evaluation.problem import Point
from ddopt.evaluation.question import answered
from ddopt.numerics.vectors import LOCAL, norm
from ddopt.solver.lssr1 import LSSR1
from ddopt.solver.trust_region import TrustRegion
from ddopt.solver.wolfe import wolfe
from ddopt.subproblem import Candidate
from ddopt.testing.problems import regression


def line(value, slope):
    """A function of one parameter as a visitor."""
    return lambda x: Point(x, value(float(x[0])), torch.tensor([slope(float(x[0]))]).double())


LINES = {  # each with the α that a step of length 1 from 0 should be shortened to, if any
    "kept": (line(lambda x: (x - 2.0) ** 2, lambda x: 2.0 * (x - 2.0)), 1.0),
    "overshoots": (line(lambda x: (8 * x - 1) ** 2, lambda x: 16 * (8 * x - 1)), None),
    "quartic": (line(lambda x: x**4 * 40 - x, lambda x: 160 * x**3 - 1), None),
    "a wall": (line(lambda x: -x if x < 0.3 else math.inf, lambda x: -1.0), None),
}


@pytest.mark.parametrize("name", LINES)
def test_the_search_finds_the_wolfe_conditions(name):
    visit, wanted = LINES[name]
    start = visit(torch.zeros(1, dtype=torch.float64))
    slope = float(start.gradient[0])
    step = torch.ones(1, dtype=torch.float64)
    visited = []
    search = wolfe(lambda x: visited.append(x) or x, start, Candidate(step, 1.0, 1.0), LOCAL, 30)
    candidate, end = answered(search, tell=visit)
    alpha = float(candidate.step[0])
    assert candidate.norm == alpha
    assert 0.0 < alpha <= 1.0
    assert end.value <= start.value + 1e-4 * alpha * slope
    if wanted is None:
        assert abs(float(end.gradient[0])) <= 0.9 * abs(slope) or name == "a wall"
        assert len(visited) > 1
        # m(αp) of the quadratic with this slope and m(p) = −1
        assert candidate.predicted == pytest.approx(-alpha * slope - alpha**2 * (-slope - 1.0))
    else:
        assert (alpha, len(visited)) == (wanted, 1)


def test_without_momentum_and_search_it_is_the_trust_region():
    f, theta = regression()
    plain = TrustRegion(hessian="lsr1").solve(f, f.at(theta), math.inf, 15)
    bare = LSSR1(momentum=0.0, searches=1).solve(f, f.at(theta), math.inf, 15)
    assert torch.equal(plain.step, bare.step)


def test_momentum_stays_in_the_ball_and_keeps_its_promise():
    f, theta = regression()
    solver = LSSR1()
    point = solver.solve(f, f.at(theta), math.inf, 6).end
    assert solver.velocity.any()
    model = solver.hessian.model(f, point)
    for radius in (1e-3, 1e-1, 10.0):
        candidate = solver.propose(f, point, radius)
        p = candidate.step
        assert norm(p) <= radius * (1 + 1e-12)
        promise = -float(point.gradient @ p) - 0.5 * float(p @ model.mv(p))
        assert candidate.predicted == pytest.approx(promise, rel=1e-9)
        assert candidate.predicted > 0.0

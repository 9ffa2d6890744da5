"""A walk that is lost, or goes round and round, notices it, and takes shorter steps."""

import math

import pytest
import torch

from ddopt.numerics.vectors import LOCAL
from ddopt.setup.component import lookup
from ddopt.solver.course import FEWEST, GROUP, Course
from ddopt.solver.distance import Distance


def told(values):
    """What a course says at the end of each group."""
    course = Course()
    found = [course.passed(value) for value in values]
    assert all(one == "on" for i, one in enumerate(found, 1) if i % GROUP)
    return found[GROUP - 1 :: GROUP]


def noisy(level, seed, spread=0.1):
    random = torch.Generator().manual_seed(seed)
    return (level + spread * torch.randn(GROUP, generator=random, dtype=torch.float64)).tolist()


def groups(levels):
    """Values about each level; both halves of eight have the same noise."""
    return [value for k, level in enumerate(levels) for value in noisy(level, k % 4)]


def test_who_gives_back_half_of_the_gain_is_lost():
    assert told(groups([2.0, 1.0, 1.3])) == ["lowest", "lowest", "on"]
    assert told(groups([2.0, 1.0, 1.7])) == ["lowest", "lowest", "lost"]


def test_noise_alone_is_no_loss():
    assert "lost" not in told(groups([1.0] * 7))


def test_who_does_not_descend_stalls_once_the_halves_can_be_compared():
    found = told(groups([2.0, 1.0] + [1.0] * (FEWEST - 2)))
    assert "stalled" not in found  # the first group is of the earlier half
    found = told(groups([1.0] * FEWEST))
    assert found.index("stalled") == FEWEST - 1


def test_a_slow_descent_goes_on():
    found = told(groups([2.0 - 0.02 * k for k in range(4 * FEWEST)]))
    assert not {"lost", "stalled"} & set(found)


def test_it_goes_on_from_a_state_as_if_nothing_had_been():
    values, through, first = groups([2.0, 1.0, 1.4, 1.9]), Course(), Course()
    for value in values[:50]:
        assert first.passed(value) == through.passed(value)
    resumed = Course()
    resumed.load_state_dict(first.state_dict())
    assert [resumed.passed(v) for v in values[50:]] == [through.passed(v) for v in values[50:]]


def test_a_length_that_was_shortened_is_not_raised_by_the_bound_that_was_wrong():
    """Far from the minimiser of a line the bound grows without end; after a fall it must not."""
    slope = torch.ones(1, dtype=torch.float64)
    distance, x = Distance(1e-3), torch.tensor([100.0], dtype=torch.float64)

    def go(x):
        for _ in range(40):
            reach = distance.reach(x, slope, LOCAL)()
            distance.update(slope, reach, LOCAL, torch.sign)
            x = x - distance.d
        return x

    x = go(x)
    length = distance.d
    assert length > 1e-3
    distance.shorten()
    go(x)
    assert distance.d == 0.5 * length


@pytest.mark.parametrize("walk", ["prodigy", "muon"])
def test_steps_that_are_too_long_become_shorter(small_regression, walk):
    problem, theta = small_regression
    solver = lookup("solver", walk)(batch=4, first_length=0.5)
    start = problem.at(theta)
    answer = solver.solve(problem, start, math.inf, 300)
    assert solver.radius <= 0.25
    assert problem.at(theta + answer.step).value < 0.8 * start.value

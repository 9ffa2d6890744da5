"""Weight decay that follows from the steps: it holds a walk without aim in a ball."""

import math

import pytest
import torch

from ddopt.numerics.space import Layout
from ddopt.setup.component import lookup
from ddopt.solver.decay import Decay

SHAPES = {"weight": (40, 50), "bias": (50,), "gate": (4, 5)}


def layout():
    shapes = tuple(torch.Size(shape) for shape in SHAPES.values())
    return Layout(tuple(SHAPES), shapes)


def start(scale=1.0):
    random = torch.Generator().manual_seed(0)
    x = scale * torch.randn(layout().size, generator=random, dtype=torch.float64)
    x[layout().slices[2]] = 0.0
    return x


def size(x):
    return float(x[layout().slices[0]].square().mean().sqrt())


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_mean_square_of_a_walk_without_aim_goes_to_that_of_the_ball(share):
    """Its fixed point is R² / (1 − ¼ (d/R)²): a step adds d² and takes (1 − ½ (d/R)²)² of all."""
    decay, x, d = Decay(share), start(), 0.2
    decay.begin(layout(), x)
    ball = size(x) / share
    random = torch.Generator().manual_seed(1)
    for _ in range(800):
        decay.shrink(layout(), x, d)
        x += d * torch.randn(len(x), generator=random, dtype=torch.float64)
    assert size(x) == pytest.approx(ball / math.sqrt(1.0 - 0.25 * (d / ball) ** 2), rel=0.1)


def test_biases_and_what_begins_with_zeros_do_not_decay():
    decay, x = Decay(0.5), start()
    decay.begin(layout(), x)
    later = torch.ones_like(x)
    decay.shrink(layout(), later, 0.5)
    weight, bias, gate = (later[where] for where in layout().slices)
    expected = 1.0 - 0.5 * (0.5 / (2.0 * size(x))) ** 2
    assert torch.allclose(weight, torch.tensor(expected, dtype=x.dtype), rtol=1e-14)
    assert bool((bias == 1.0).all())
    assert bool((gate == 1.0).all())


def test_a_share_of_zero_is_no_decay():
    decay, x = Decay(0.0), start()
    decay.begin(layout(), x)
    decay.shrink(layout(), x, 1e3)
    assert torch.equal(x, start())


def test_the_unit_of_the_weights_does_not_count():
    scale, found = 2.0**40, []
    for unit in (1.0, scale):
        decay, x = Decay(0.5), start(unit)
        decay.begin(layout(), x)
        decay.shrink(layout(), x, 0.5 * unit)
        found.append(x / unit)
    assert torch.equal(*found)


def test_a_step_longer_than_the_ball_turns_no_sign():
    decay, x = Decay(0.5), start()
    decay.begin(layout(), x)
    decay.shrink(layout(), x, 100.0)
    assert bool((x[layout().slices[0]] == 0.0).all())


@pytest.mark.parametrize("walk", ["prodigy", "muon"])
def test_the_ball_is_that_of_the_first_weights_also_after_a_resume(small_regression, walk):
    problem, theta = small_regression
    solver, resumed = (lookup("solver", walk)(batch=4, decay=0.5) for _ in range(2))
    solver.solve(problem, problem.at(theta), math.inf, 2)
    resumed.load_state_dict(solver.state_dict())
    resumed.solve(problem, problem.at(2.0 * theta), math.inf, 2)
    assert resumed.decay.first == solver.decay.first
    where = problem.layout.slices[0]
    assert solver.decay.first[0] == pytest.approx(float(theta[where].square().mean().sqrt()))


def test_several_steps_at_once_are_as_many_one_by_one():
    decay, once, each = Decay(0.5), start(), start()
    decay.begin(layout(), once)
    decay.shrink(layout(), once, 0.1, steps=3)
    for _ in range(3):
        decay.shrink(layout(), each, 0.1)
    assert torch.allclose(once, each, rtol=1e-14)

"""The unit of f and of θ decides nothing: in other units a method takes the same steps."""

import math

import pytest
import torch
from torch import nn

import ddopt
from ddopt.evaluation.problem import Point
from ddopt.evaluation.scaled import Scaled
from ddopt.numerics.vectors import LOCAL, norm
from ddopt.run.stopping import StopReason, seen
from ddopt.solver.region import first_radius
from ddopt.solver.trust_region import TrustRegion
from ddopt.subproblem.dogleg import Dogleg
from ddopt.testing.problems import regression

CURVATURES = {
    "lsr1": {"hessian": "lsr1"},
    "lbfgs": {"hessian": "lbfgs"},
    "ssbroyden": {"hessian": "ssbroyden"},
    "quasi_newton": {},
    "none": {"hessian": "none"},
    "none, cauchy": {"hessian": "none", "subproblem": "cauchy"},
    "lsr1, steihaug": {"hessian": "lsr1", "subproblem": "steihaug"},
    "lsr1, dogleg": {"hessian": "lsr1", "subproblem": "dogleg"},
    "exact": {"hessian": "exact", "subproblem": "steihaug"},
}
METHODS = {
    "P": (lambda p: ddopt.SAPTS(p, "P", 2, local_iterations=3), False),
    "D": (lambda p: ddopt.SAPTS(p, "D", 2, local_iterations=3), True),
    "hybrid": (lambda p: ddopt.SAPTS(p, "hybrid", parts=2, groups=2, local_iterations=2), True),
}


class Stretched(Scaled):
    """f as a function of a θ; the curvature is that of f, divided by a²."""

    def __init__(self, problem, stretch):
        super().__init__(problem, 1.0)
        self.stretch = stretch

    def at(self, theta):
        point = self.problem.at(theta / self.stretch)
        return Point(theta, point.value, lambda: point.gradient / self.stretch)

    both = at

    def curvature(self, theta):
        product = self.problem.curvature(theta / self.stretch)
        return lambda v: product(v / self.stretch) / self.stretch


def path(problem, theta, steps=12, **options):
    """θ after each of the steps of a solver, and the radii."""
    solver, point, found = TrustRegion(**options), problem.both(theta), []
    for _ in range(steps):
        answer = solver.solve(problem, point, math.inf, 1)
        point = answer.end
        found.append((point.theta, solver.radius, answer.accepted))
    return found


@pytest.mark.parametrize("power", [66, -66, 600, -600, 1000, -980])
@pytest.mark.parametrize("options", CURVATURES.values(), ids=CURVATURES)
def test_another_unit_of_f_changes_no_bit(options, power):
    problem, theta = regression()
    plain = path(problem, theta, **options)
    other = path(Scaled(problem, 2.0**power), theta, **options)
    assert sum(accepted for _, _, accepted in plain) > 3
    for (a, radius, _), (b, same, _) in zip(plain, other, strict=True):
        assert torch.equal(a, b)
        assert radius == same


@pytest.mark.parametrize("power", [100, -100])
@pytest.mark.parametrize("options", CURVATURES.values(), ids=CURVATURES)
def test_another_unit_of_the_parameters_changes_no_bit(options, power):
    problem, theta = regression()
    a = 2.0**power
    plain = path(problem, theta, **options)
    other = path(Stretched(problem, a), a * theta, **options)
    for (x, radius, accepted), (y, stretched, same) in zip(plain, other, strict=True):
        assert torch.equal(a * x, y)
        assert (a * radius, accepted) == (stretched, same)


def trained(make, batched, factor, dtype=torch.float64, steps=8):
    """The weights after some steps on c f, and which steps were taken."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1)).to(dtype)
    x = torch.linspace(-1.0, 1.0, 16, dtype=dtype)[:, None]
    optimizer = make(model.named_parameters())

    def loss(part):
        optimizer.zero_grad()
        value = (model(part[0]) - part[1]).square().mean() * factor
        value.backward()
        return value

    data, accepted = (x, torch.sin(3.0 * x)), []
    for _ in range(steps):
        optimizer.step(loss, data) if batched else optimizer.step(lambda: loss(data))
        accepted.append(optimizer.report.accepted)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), accepted


@pytest.mark.parametrize(
    ("dtype", "powers"),
    [(torch.float64, [600, -600, 1020, -980]), (torch.float32, [90, -90, 125, -105])],
)
@pytest.mark.parametrize(("make", "batched"), METHODS.values(), ids=METHODS)
def test_decomposed_methods_take_the_same_steps_in_every_unit_of_f(make, batched, dtype, powers):
    """To the ends of the range in which all their numbers have all their digits.

    Factors are powers of 2: any other one rounds f differently, which is another θ by one ulp, and
    twenty curvature updates later another path.
    """
    plain, taken = trained(make, batched, 1.0, dtype)
    for power in powers:
        other, same = trained(make, batched, 2.0**power, dtype)
        assert taken == same
        assert torch.equal(plain, other)


@pytest.mark.parametrize("c", [1e30, 1e-30])
def test_single_precision_takes_the_same_decisions_to_the_ends_of_its_range(c):
    plain, taken = trained(ddopt.TrustRegion, False, 1.0, torch.float32)
    other, same = trained(ddopt.TrustRegion, False, c, torch.float32)
    assert taken == same
    torch.testing.assert_close(plain, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1.0, 1e200, 5e-324])
def test_a_norm_is_right_wherever_it_is_a_number(size):
    vector = torch.tensor([3.0, 0.0, -4.0], dtype=torch.float64) * size
    assert norm(vector) == pytest.approx(5.0 * size, rel=1e-15)
    assert norm(torch.zeros(3)) == 0.0
    assert norm(torch.tensor([math.inf, 1.0])) == math.inf
    assert math.isnan(norm(torch.tensor([math.nan, 1.0])))


def test_the_first_radius_is_a_length_of_the_problem():
    one = torch.ones(4, dtype=torch.float64)
    assert first_radius(Point(one, 3.0, 6.0 * one), LOCAL) == 0.25  # |f|/‖g‖
    assert first_radius(Point(one, 3.0, 0.06 * one), LOCAL) == 2.0  # ‖θ‖
    assert first_radius(Point(0.0 * one, 3.0, 0.06 * one), LOCAL) == pytest.approx(25.0)
    assert first_radius(Point(one, 0.0, one), LOCAL) == 2.0
    assert first_radius(Point(0.0 * one, 0.0, one), LOCAL) == 1.0


def test_the_dogleg_has_no_length_of_its_own():
    problem, theta = regression()
    model = TrustRegion(hessian="exact", subproblem="dogleg").hessian.model(
        problem, problem.both(theta)
    )
    assert Dogleg().solve(model, 1e200).norm < 1e200


@pytest.mark.parametrize(
    ("value", "gradient", "reason"),
    [
        (1.0, 0.0, StopReason.STATIONARY),
        (0.0, 0.0, StopReason.STATIONARY),
        (1e-42, 0.0, StopReason.UNDERFLOW),
        (1e-33, 0.0, StopReason.UNDERFLOW),
        (1e-42, 1e-43, StopReason.UNDERFLOW),
        (1e-20, 1e-30, StopReason.STATIONARY),
    ],
)
def test_a_loss_without_digits_is_not_called_stationary(value, gradient, reason):
    point = Point(torch.ones(3), value, torch.full((3,), gradient))
    assert seen(StopReason.STATIONARY, point, LOCAL) is reason
    assert seen(StopReason.LOSS, point, LOCAL) is StopReason.LOSS

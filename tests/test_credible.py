"""A gradient that f contradicts is not stepped to, and leaves nothing behind."""

import math

import pytest
import torch
from torch import nn

import ddopt
from ddopt.evaluation.problem import Point
from ddopt.method.credible import Credence
from ddopt.numerics.vectors import LOCAL
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing.problems import Quadratic, regression, rotated_quadratic

LEARNING = ["lsr1", "lbfgs", "ssbroyden"]
BAD = [1e30, 1e160, 1e300, math.nan]


class Faulty(Quadratic):
    """A quadratic whose ``at``-th gradient has one wrong entry."""

    def __init__(self, problem, at, bad):
        super().__init__(problem.A, problem.b)
        self.when, self.bad, self.calls = at, bad, 0

    def at(self, theta):
        self.calls += 1
        point = super().at(theta)
        if self.calls == self.when:
            point.gradient[3] = self.bad
        return point


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("hessian", LEARNING)
def test_a_wrong_entry_is_rejected_and_forgotten(hessian, bad):
    clean = rotated_quadratic(20, 100.0)
    theta = torch.ones(20, dtype=torch.float64)
    solver, twin = TrustRegion(hessian=hessian), TrustRegion(hessian=hessian)
    before = solver.solve(clean, clean.at(theta), math.inf, 4).end
    twin.load_state_dict(solver.state_dict())
    answer = solver.solve(Faulty(clean, 1, bad), before, math.inf, 1)
    assert (answer.accepted, answer.rejected, answer.ratio) == (0, 1, -math.inf)
    assert answer.end is before
    assert solver.radius < twin.radius
    # All that it has changed is the radius: with the twin's, the two go on with the same bits.
    solver.region.radius = twin.region.radius
    ends = [one.solve(clean, before, math.inf, 6).end for one in (solver, twin)]
    assert torch.equal(ends[0].theta, ends[1].theta)


@pytest.mark.parametrize("at", [4, 6])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("variant", ["trust_region", "P"])
def test_training_goes_on_after_a_wrong_entry(variant, bad, at):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(1, 9), nn.Tanh(), nn.Linear(9, 1)).double()
    x = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64)[:, None]
    optimizer = ddopt.SAPTS(
        model.named_parameters(), variant, **({"P": {"subdomains": 2}}.get(variant, {}))
    )
    calls = 0

    def closure():
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = (model(x) - torch.sin(3.0 * x)).square().mean()
        loss.backward()
        if calls == at:
            model[0].weight.grad[0] = bad
        return loss

    first = float(closure().detach())
    accepted = 0
    for _ in range(12):
        optimizer.step(closure)
        accepted += optimizer.report.accepted
    assert accepted >= 6
    assert optimizer.report.loss < 0.3 * first


def test_what_a_smooth_function_may_do_is_believed():
    one = torch.ones(1, dtype=torch.float64)
    plateau = Point(0.0 * one, 1.0, 1e-30 * one)  # of 1 − tanh, far out
    slope = Point(40.0 * one, 0.5, -0.75 * one)
    flat = Point(one, 1e-28, 1e-12 * one)  # late on a long valley of condition 1e8
    assert Credence().believes(plateau, slope, 40.0, LOCAL)
    assert Credence().believes(slope, Point(one, 1e300, 1e302 * one), 1.0, LOCAL)
    assert Credence().believes(flat, Point(one, 1e-29, 1e-13 * one), 1.0, LOCAL)
    assert Credence().believes(Point(one, 0.0, one), Point(one, -1e-3, one), 1e-3, LOCAL)


@pytest.mark.parametrize("unit", [1.0, 2.0**600, 2.0**-600])
def test_whether_it_is_believed_does_not_depend_on_the_unit_of_f(unit):
    one = torch.ones(2, dtype=torch.float64)
    point = Point(one, unit, unit * one)
    assert Credence().believes(point, Point(one, 0.5 * unit, 1e9 * unit * one), 0.1, LOCAL)
    assert not Credence().believes(point, Point(one, 0.5 * unit, 1e24 * unit * one), 0.1, LOCAL)
    assert not Credence().believes(point, Point(one, 0.5 * unit, math.inf * one), 0.1, LOCAL)


@pytest.mark.parametrize("hessian", LEARNING)
def test_clean_runs_keep_every_bit(hessian, monkeypatch):
    problem, theta = regression()
    ends = []
    for _ in range(2):
        solver = TrustRegion(hessian=hessian)
        ends.append(solver.solve(problem, problem.both(theta), math.inf, 60).end.theta)
        monkeypatch.setattr(Credence, "believes", lambda *_: True)
    assert torch.equal(*ends)

"""One training run, step by step: of a problem of ddopt, or of a statement in plain torch.

A run has ``step()``, ``loss``, ``validation()`` (the mean squared residual of the equation on
points that are not trained on), ``error()`` (relative L2) and ``size`` (parameters).
"""

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts
from ddopt.numerics.randomness import generator
from ddopt.optim.optimizer import EngineOptimizer
from ddopt.setup.component import lookup
from ddopt.task import Setting, Status, prepare
from ddopt_pinn import PDETask, dde
from ddopt_pinn.resampling import density
from ddopt_pinn.stratified import places, systematic


class Sine(nn.Module):
    """sin z, number by number."""

    def forward(self, z):
        return torch.sin(z)


ACTIVATIONS = {"tanh": nn.Tanh, "sin": Sine}


class Run:
    """A task of ddopt with its resampling, without the files of a run."""

    def __init__(self, task, solver, setting):
        self.task = task
        prepare(task, setting)
        parts = Parts(None, GlobalPass(lookup("solver", solver)()))
        self.engine = Engine(parts, lookup("executor", "serial")())
        self.engine.prepare(task.problem.layout)
        self.evaluations = self.engine.start(task.problem, task.initial)
        self.size, self.stalled = task.problem.layout.size, 0

    @property
    def loss(self):
        return self.engine.point.value

    def step(self):
        """Move the points where that is due, and take one outer iteration."""
        theta = self.engine.point.theta
        cost = self.task.renew(theta, Status(self.evaluations, self.loss, self.stalled))
        if cost is not None:
            self.engine.renew()
            self.evaluations += cost + self.engine.start(self.task.problem, theta)
            self.stalled = 0
        report = self.engine.step(self.task.problem)
        self.evaluations += report.parallel
        self.stalled = 0 if report.accepted else self.stalled + 1

    def validation(self):
        return self._measured("validation_loss")

    def error(self):
        return self._measured("error")

    def _measured(self, name):
        return self.task.measure(self.engine.point.theta).get(name, math.nan)


def setting_of(seed, dtype=torch.float64, device="cpu"):
    return Setting(seed=seed, dtype=dtype, device=torch.device(device))


def task_of(statement, **options):
    """A statement as a task of ``ddopt_pinn``: the same equation, network and points' number."""

    class Stated(PDETask):
        name, axes = "stated", tuple(f"x{i}" for i in range(len(statement.low)))

        def geometry(self):
            return dde.geometry.Hypercube(statement.low, statement.high)

        def equation(self, x, u):
            return statement.equation(x, u)

        def conditions(self, geometry):
            return []

        def network(self):
            net = dde.nn.FNN(statement.sizes, statement.activation, "Glorot normal")
            net.apply_feature_transform(statement.seen)
            net.apply_output_transform(statement.u)
            return net

        def solution(self, points):
            return statement.exact(torch.as_tensor(points)).numpy()

    given = {"interior": statement.points, "boundary": 0, "distribution": "Sobol"}
    return Stated(**{**given, **options})


class Script:
    """A statement in plain torch and an optimizer: what a user's script does."""

    def __init__(self, statement, solver, seed):
        self.statement, self.seed = statement, seed
        torch.manual_seed(seed)
        self.net = plain(statement.sizes, statement.activation)
        self.x = self.draw(statement.points, "points")
        if statement.grid:
            ticks = zip(statement.low, statement.high, statement.grid, strict=True)
            axes = [torch.linspace(a, b, n, dtype=torch.float64) for a, b, n in ticks]
            self.x = torch.cartesian_prod(*axes)
        self.fresh = self.draw(2000, "validation")
        self.tests = self.draw(20_000, "tests")
        parts = Parts(None, GlobalPass(lookup("solver", solver)()))
        self.vector = parts.least_squares
        self.optimizer = EngineOptimizer(self.net.parameters(), parts)
        self.size = sum(p.numel() for p in self.net.parameters())
        self.steps = self.rejected = self.draws = 0

    @property
    def evaluations(self):
        return self.optimizer.evaluations

    def draw(self, count, *purpose):
        low, high = torch.tensor(self.statement.low), torch.tensor(self.statement.high)
        seed = int(torch.randint(1 << 30, (), generator=generator(self.seed, *purpose)))
        unit = torch.quasirandom.SobolEngine(len(low), scramble=True, seed=seed).draw(count)
        return (low + (high - low) * unit).double()

    def u(self, x):
        return self.statement.u(x, self.net(self.statement.seen(x)))

    def equation(self, x):
        x = x.detach().requires_grad_()
        return self.statement.equation(x, self.u(x))

    def residuals(self):
        """Terms that are means of their own, in one vector whose mean of squares is their sum."""
        found = [self.equation(self.x), *self.statement.terms(self.net, self.x)]
        total = sum(one.numel() for one in found)
        return [(total / one.numel()) ** 0.5 * one for one in found]

    def closure(self):
        found = self.residuals()
        if self.vector:
            return found
        loss = torch.cat([one.reshape(-1) for one in found]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        return loss

    def step(self):
        """Draw points anew where that is due, and take one step."""
        every = self.statement.redraw
        if every and self.steps and (self.steps % every == 0 or self.rejected >= 4):
            self.redraw()
        self.loss = float(self.optimizer.step(self.closure))
        self.steps += 1
        self.rejected = 0 if self.optimizer.report.accepted else self.rejected + 1

    def redraw(self):
        """New points by residual, evenly along a space-filling curve (``stratified``)."""
        self.draws += 1
        self.rejected = 0
        many = self.draw(6 * len(self.x), "redraw", self.draws)
        order = np.argsort(places(many.numpy()), kind="stable")
        sizes = self.equation(many).detach().abs().reshape(-1).numpy()
        chosen = systematic(
            density(sizes[order], 1.0, 1.0), len(self.x), generator(self.seed, "draw", self.draws)
        )
        self.x = many[order[chosen]]

    def validation(self):
        return float(self.equation(self.fresh).detach().square().mean())

    def error(self):
        with torch.no_grad():
            exact = self.statement.exact(self.tests)
            return float((self.u(self.tests) - exact).norm() / exact.norm())


def plain(sizes, activation):
    """A perceptron in float64, Glorot normal."""
    layers = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), ACTIVATIONS[activation]()]
    net = nn.Sequential(*layers[:-1]).double()
    for layer in net[::2]:
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return net

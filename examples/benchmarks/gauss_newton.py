"""Levenberg-Marquardt on physics-informed problems: the error by processor seconds of one thread.

    python examples/benchmarks/gauss_newton.py PROBLEM --seeds 0 1 2 --limit 120
    python examples/benchmarks/gauss_newton.py poisson --solver trust_region

The problems of ddopt are trained as ``ddopt run`` does; the others are written here in plain torch,
with a closure that returns residuals. Also printed: the share of the time in residuals and
Jacobians, and the mean squared residual on points that were not trained on.
"""

import argparse
import math
import time
from itertools import pairwise

import torch
from torch import nn

import ddopt
from ddopt.method.parts import GlobalPass, Parts
from ddopt.setup.component import lookup
from ddopt.task import Setting, Status, prepare

MARKS = (2, 5, 10, 20, 30, 60, 120, 300, 400)
STRATIFIED = {"name": "stratified"}
TASKS = {
    "burgers": ("burgers", {"interior": 3000, "exact": True, "resampling": STRATIFIED}),
    "burgers-odd": (
        "burgers",
        {"interior": 3000, "exact": True, "odd": True, "resampling": STRATIFIED},
    ),
    "poisson2d": ("poisson2d", {}),
    "helmholtz2d": ("helmholtz2d", {}),
    "convection": ("convection", {}),
    "multiscale": ("multiscale", {}),
}


def derivative(u, x, i):
    """∂u/∂x_i at points, shape (points, 1)."""
    return torch.autograd.grad(u.sum(), x, create_graph=True)[0][:, i : i + 1]


class Plain:
    """An equation on a box, in plain torch; the conditions are built into ``solution``."""

    width, depth, points = 30, 3, 2000
    low, high = (0.0, 0.0), (1.0, 1.0)

    def __init__(self, seed):
        torch.manual_seed(seed)
        sizes = [len(self.low), *[self.width] * self.depth, 1]
        layers = []
        for a, b in pairwise(sizes[:-1]):
            layers += [nn.Linear(a, b), nn.Tanh()]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-2], 1)).double()
        for layer in self.net[::2]:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.x = self.draw(self.points)
        self.fresh = self.draw(self.points)
        self.tests = self.draw(20_000)

    def draw(self, count):
        low, high = torch.tensor(self.low), torch.tensor(self.high)
        unit = torch.quasirandom.SobolEngine(
            len(low), scramble=True, seed=int(torch.randint(1 << 30, (1,)))
        )
        return (low + (high - low) * unit.draw(count)).double()

    def u(self, x):
        return self.net(x)

    def residuals(self, x):
        x = x.detach().requires_grad_()
        return self.equation(self.u(x), x)

    def error(self):
        with torch.no_grad():
            exact = self.exact(self.tests)
            return float((self.u(self.tests) - exact).norm() / exact.norm())


class Poisson(Plain):
    """−Δu = f with u = sin 2πx sin 2πy."""

    def u(self, x):
        return (x * (1.0 - x)).prod(1, keepdim=True) * self.net(x)

    def exact(self, x):
        return torch.sin(2.0 * math.pi * x).prod(1, keepdim=True)

    def equation(self, u, x):
        laplacian = sum(derivative(derivative(u, x, i), x, i) for i in range(2))
        return laplacian + 8.0 * math.pi**2 * self.exact(x)


class Helmholtz(Poisson):
    """Δu + u = f on (−1, 1)², u = sin πx sin 4πy."""

    width, low = 40, (-1.0, -1.0)

    def u(self, x):
        return (1.0 - x * x).prod(1, keepdim=True) * self.net(x)

    def exact(self, x):
        return torch.sin(math.pi * x[:, :1]) * torch.sin(4.0 * math.pi * x[:, 1:])

    def equation(self, u, x):
        laplacian = sum(derivative(derivative(u, x, i), x, i) for i in range(2))
        return laplacian + u - (1.0 - 17.0 * math.pi**2) * self.exact(x)


class Wave(Plain):
    """u_tt = 4 u_xx, u(x, 0) = sin πx + ½ sin βπx, u_t(x, 0) = 0, with β = 4."""

    depth, beta = 4, 4.0

    def exact(self, x):
        s, t = x[:, :1], x[:, 1:]
        return torch.sin(math.pi * s) * torch.cos(2.0 * math.pi * t) + 0.5 * torch.sin(
            self.beta * math.pi * s
        ) * torch.cos(2.0 * self.beta * math.pi * t)

    def u(self, x):
        start = torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], 1)
        s = x[:, :1]
        return self.exact(start) + x[:, 1:] ** 2 * s * (1.0 - s) * self.net(x)

    def equation(self, u, x):
        first = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        return derivative(first[:, 1:], x, 1) - 4.0 * derivative(first[:, :1], x, 0)


class FasterWave(Wave):
    """The same with β = 5, as in Rathore et al. (2024)."""

    beta = 5.0


class KdV(Plain):
    """u_t + 6 u u_x + u_xxx = 0, a soliton of speed 4 on (−5, 5) × (0, 1)."""

    depth, low, high = 4, (-5.0, 0.0), (5.0, 1.0)

    def exact(self, x):
        return 2.0 / torch.cosh(x[:, :1] - 4.0 * x[:, 1:]) ** 2

    def u(self, x):
        start = torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], 1)
        return self.exact(start) + x[:, 1:] * self.net(x)

    def equation(self, u, x):
        first = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        third = derivative(derivative(first[:, :1], x, 0), x, 0)
        return first[:, 1:] + 6.0 * u * first[:, :1] + third

    def residuals(self, x):
        y = x.detach().clone()
        y[: len(y) // 8, 0], y[len(y) // 8 : len(y) // 4, 0] = -5.0, 5.0
        edge = y[: len(y) // 4]
        return [super().residuals(x), 3.0 * (self.u(edge) - self.exact(edge))]


class Poisson5(Plain):
    """−Δu = f in five dimensions, u = Π sin πx_i."""

    width, depth, points = 64, 4, 10_000
    low, high = (0.0,) * 5, (1.0,) * 5

    def u(self, x):
        return (4.0 * x * (1.0 - x)).prod(1, keepdim=True) * self.net(x)

    def exact(self, x):
        return torch.sin(math.pi * x).prod(1, keepdim=True)

    def equation(self, u, x):
        laplacian = sum(derivative(derivative(u, x, i), x, i) for i in range(5))
        return laplacian + 5.0 * math.pi**2 * self.exact(x)


class Reaction(Plain):
    """u_t = 5 u (1 − u) from a Gaussian, on a coarse grid: a wrong function can have a low loss."""

    points, high = 100, (2.0 * math.pi, 1.0)

    def exact(self, x):
        h = torch.exp(-0.5 * ((x[:, :1] - math.pi) / (math.pi / 4.0)) ** 2)
        grown = h * torch.exp(5.0 * x[:, 1:])
        return grown / (grown + 1.0 - h)

    def u(self, x):
        start = torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], 1)
        return self.exact(start) + x[:, 1:] * self.net(x)

    def equation(self, u, x):
        return derivative(u, x, 1) - 5.0 * u * (1.0 - u)


PLAIN = {
    "poisson": Poisson,
    "helmholtz": Helmholtz,
    "wave": Wave,
    "wave5": FasterWave,
    "kdv": KdV,
    "poisson5d": Poisson5,
    "reaction": Reaction,
}


def means(found):
    """Terms that are means of their own, in one vector whose mean of squares is their sum."""
    several = found if isinstance(found, list) else [found]
    total = sum(one.numel() for one in several)
    return [(total / one.numel()) ** 0.5 * one for one in several]


class Script:
    """A problem in plain torch and an optimizer: what a user's script does."""

    def __init__(self, name, seed, solver):
        self.problem = PLAIN[name](seed)
        net = self.problem.net.parameters()
        self.vector = solver != "trust_region"
        self.optimizer = ddopt.LevenbergMarquardt(net) if self.vector else ddopt.TrustRegion(net)
        self.size = sum(p.numel() for p in self.problem.net.parameters())

    def closure(self):
        found = means(self.problem.residuals(self.problem.x))
        if self.vector:
            return found
        loss = torch.cat([one.reshape(-1) for one in found]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        return loss

    def step(self):
        self.loss = float(self.optimizer.step(self.closure))

    def validation(self):
        found = means(self.problem.residuals(self.problem.fresh))
        return float(torch.cat([one.detach().reshape(-1) for one in found]).square().mean())

    def error(self):
        return self.problem.error()


class Run:
    """A problem of ddopt with its resampling, without the files of a run."""

    def __init__(self, name, seed, solver):
        problem, options = TASKS[name]
        self.task = lookup("problem", problem)(**options)
        prepare(self.task, Setting(seed=seed, dtype=torch.float64))
        built = lookup("solver", solver)()
        self.engine = ddopt.Engine(Parts(None, GlobalPass(built)), lookup("executor", "serial")())
        self.engine.prepare(self.task.problem.layout)
        self.evaluations = self.engine.start(self.task.problem, self.task.initial)
        self.size, self.stalled = self.task.problem.layout.size, 0

    @property
    def loss(self):
        return self.engine.point.value

    def step(self):
        theta = self.engine.point.theta
        status = Status(self.evaluations, self.loss, self.stalled)
        cost = self.task.renew(theta, status)
        if cost is not None:
            self.engine.renew()
            self.evaluations += cost + self.engine.start(self.task.problem, theta)
            self.stalled = 0
        report = self.engine.step(self.task.problem)
        self.evaluations += report.parallel
        self.stalled = 0 if report.accepted else self.stalled + 1

    def validation(self):
        return self.task.measure(self.engine.point.theta).get("validation_loss", math.nan)

    def error(self):
        return self.task.measure(self.engine.point.theta)["error"]


def train(name, seed, solver, limit):
    """Train, and print a row of the table at each mark that has been reached."""
    run = (Run if name in TASKS else Script)(name, seed, solver)
    marks, spent, iterations = [m for m in MARKS if m <= limit], 0.0, 0
    while marks:
        start = time.process_time()
        run.step()
        spent += time.process_time() - start
        iterations += 1
        while marks and spent >= marks[0]:
            row = (name, solver, seed, run.size, marks.pop(0), iterations)
            figures = (run.loss, run.validation(), run.error())
            cells = [*map(str, row), *(f"{one:.1e}" for one in figures)]
            print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("problem", choices=[*TASKS, *PLAIN])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--solver", default="levenberg_marquardt")
    parser.add_argument("--limit", type=float, default=120.0, help="processor seconds of a run")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| problem | solver | seed | n | s | iterations | loss | on fresh points | error |")
    print("|---|---|---|---|---|---|---|---|---|")
    for seed in options.seeds:
        train(options.problem, seed, options.solver, options.limit)


if __name__ == "__main__":
    main()

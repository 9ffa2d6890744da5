"""Five of DeepXDE's own forward examples: another compile line against their own optimizer.

    python examples/benchmarks/deepxde_examples.py [--evaluations 2000] [--dtype float32]

The problems, points, networks and optimizers are those of the scripts of the same names in
DeepXDE's examples/pinn_forward, told here in few words. Each line of the table: the relative L2
error that the example itself reports (on its test points) and its test loss, for each seed, after
as many evaluations of the loss with its gradient; the examples themselves run 10,000 to 20,000.
"""

import argparse
import math
import time
import warnings

import numpy as np
import torch

import ddopt
from ddopt_pinn import dde
from ddopt_pinn.library import building, numbers

RATE = 1e-3  # of Adam, in all five examples


def everywhere(_, on):
    return on


def at(place):
    return lambda x, on: on and np.isclose(x[0], place)


def poisson_dirichlet_1d():
    """−u″ = π² sin πx on (−1, 1)."""

    def equation(x, u):
        return -dde.grad.hessian(u, x) - math.pi**2 * torch.sin(math.pi * x)

    def solution(x):
        return np.sin(np.pi * x)

    line = dde.geometry.Interval(-1, 1)
    ends = dde.icbc.DirichletBC(line, solution, everywhere)
    data = dde.data.PDE(line, equation, ends, 16, 2, solution=solution, num_test=100)
    return data, dde.nn.FNN([1, 50, 50, 50, 1], "tanh", "Glorot uniform")


def diffusion_1d():
    """u_t = u_xx + e^(−t) (π² − 1) sin πx on (−1, 1) × (0, 1)."""

    def equation(x, u):
        source = torch.exp(-x[:, 1:]) * (math.pi**2 - 1.0) * torch.sin(math.pi * x[:, :1])
        return dde.grad.jacobian(u, x, j=1) - dde.grad.hessian(u, x, j=0) - source

    def solution(x):
        return np.exp(-x[:, 1:]) * np.sin(np.pi * x[:, :1])

    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    conditions = [
        dde.icbc.DirichletBC(domain, solution, everywhere),
        dde.icbc.IC(domain, solution, everywhere),
    ]
    counts = {"num_domain": 40, "num_boundary": 20, "num_initial": 10, "num_test": 10_000}
    data = dde.data.TimePDE(domain, equation, conditions, solution=solution, **counts)
    return data, dde.nn.FNN([2, 32, 32, 32, 1], "tanh", "Glorot uniform")


def ode_system():
    """y₁′ = y₂, y₂′ = −y₁ on (0, 10)."""

    def equation(x, y):
        first, second = dde.grad.jacobian(y, x, i=0), dde.grad.jacobian(y, x, i=1)
        return [first - y[:, 1:], second + y[:, :1]]

    time_ = dde.geometry.TimeDomain(0, 10)
    conditions = [
        dde.icbc.IC(time_, lambda x: np.sin(x), everywhere, component=0),
        dde.icbc.IC(time_, lambda x: np.cos(x), everywhere, component=1),
    ]

    def solution(x):
        return np.hstack([np.sin(x), np.cos(x)])

    data = dde.data.PDE(time_, equation, conditions, 35, 2, solution=solution, num_test=100)
    return data, dde.nn.FNN([1, 50, 50, 50, 2], "tanh", "Glorot uniform")


def euler_beam():
    """u⁗ = −1 on (0, 1): clamped on the left, free on the right."""

    def bend(x, u):
        return dde.grad.hessian(u, x)

    def equation(x, u):
        return dde.grad.hessian(bend(x, u), x) + 1.0

    beam = dde.geometry.Interval(0, 1)
    conditions = [
        dde.icbc.DirichletBC(beam, lambda x: 0, at(0)),
        dde.icbc.NeumannBC(beam, lambda x: 0, at(0)),
        dde.icbc.OperatorBC(beam, lambda x, u, _: bend(x, u), at(1)),
        dde.icbc.OperatorBC(beam, lambda x, u, _: dde.grad.jacobian(bend(x, u), x), at(1)),
    ]

    def solution(x):
        return -(x**4) / 24 + x**3 / 6 - x**2 / 4

    data = dde.data.PDE(beam, equation, conditions, 10, 2, solution=solution, num_test=100)
    return data, dde.nn.FNN([1, 20, 20, 20, 1], "tanh", "Glorot uniform")


def laplace_disk():
    """r u_r + r² u_rr + u_φφ = 0 in the disk, u = cos φ on its rim; features r sin φ, r cos φ."""

    def equation(x, u):
        r = x[:, :1]
        angular = dde.grad.hessian(u, x, i=1, j=1)
        return r * dde.grad.jacobian(u, x, j=0) + r**2 * dde.grad.hessian(u, x) + angular

    def solution(x):
        return x[:, :1] * np.cos(x[:, 1:])

    disk = dde.geometry.Rectangle([0, 0], [1, 2 * np.pi])
    rim = dde.icbc.DirichletBC(disk, lambda x: np.cos(x[:, 1:2]), at(1))
    data = dde.data.PDE(disk, equation, rim, num_domain=2540, num_boundary=80, solution=solution)
    net = dde.nn.FNN([2, 20, 20, 20, 1], "tanh", "Glorot normal")
    net.apply_feature_transform(
        lambda x: x[:, :1] * torch.cat([torch.sin(x[:, 1:]), torch.cos(x[:, 1:])], 1)
    )
    return data, net


EXAMPLES = {
    "Poisson_Dirichlet_1d": poisson_dirichlet_1d,
    "diffusion_1d": diffusion_1d,
    "ode_system": ode_system,
    "Euler_beam": euler_beam,
    "Laplace_disk": laplace_disk,
}
COMPILE = {
    "its own (Adam, 1e-3)": lambda net: ("adam", {"lr": RATE}),
    "TrustRegion": lambda net: (ddopt.TrustRegion(net.parameters()), {}),
}


def run(example, method, seed, evaluations, dtype):
    """The error and the test loss that the example ends with, and the seconds."""
    with building(seed, dtype):
        data, net = EXAMPLES[example]()
    begin = time.perf_counter()
    with numbers(dtype, torch.device("cpu")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = dde.Model(data, net)
        optimizer, options = COMPILE[method](net)
        model.compile(optimizer, metrics=["l2 relative error"], verbose=0, **options)
        _, state = model.train(iterations=evaluations, display_every=evaluations, verbose=0)
    return float(state.metrics_test[0]), float(np.sum(state.loss_test)), time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--only", nargs="*", default=list(EXAMPLES), choices=list(EXAMPLES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    print("| example | optimizer | relative L2 error | test loss | s |")
    print("|---|---|---|---|---|")
    for example in options.only:
        for method in COMPILE:
            rows = [run(example, method, s, options.evaluations, dtype) for s in options.seeds]
            errors, losses, seconds = zip(*rows, strict=True)
            cells = [", ".join(f"{value:.1e}" for value in some) for some in (errors, losses)]
            mean = sum(seconds) / len(seconds)
            print(f"| {example} | {method} | {' | '.join(cells)} | {mean:.0f} |", flush=True)


if __name__ == "__main__":
    main()

"""A DeepXDE script whose points are drawn anew: the curvature kept, or forgotten each time; Adam.

Relative L2 error of a physics-informed network for u_t = 0.4 u_xx after as many iterations. The
optimizers keep their curvature by themselves; ``reset`` forgets it.

    python examples/benchmarks/resampling.py
    python examples/benchmarks/resampling.py --weights 1 100 100
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch

import ddopt

DIFFUSION = 0.4


def heat(seed: int) -> dde.Model:
    """A rod that cools: 200 points inside, 80 at its ends, 80 at the start, drawn at random."""
    dde.config.set_random_seed(seed)
    domain = dde.geometry.GeometryXTime(dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1))

    def equation(x, u):
        bend = dde.grad.hessian(u, x, i=0, j=0)
        return dde.grad.jacobian(u, x, i=0, j=1) - DIFFUSION * bend

    cold = dde.icbc.DirichletBC(domain, lambda x: 0, lambda _, on: on)
    warm = dde.icbc.IC(domain, lambda x: np.sin(np.pi * x[:, :1]), lambda _, on: on)
    counts = {"num_domain": 200, "num_boundary": 80, "num_initial": 80}
    conditions, drawn = [cold, warm], "pseudo"
    data = dde.data.TimePDE(domain, equation, conditions, train_distribution=drawn, **counts)
    return dde.Model(data, dde.nn.FNN([2, 20, 20, 1], "tanh", "Glorot normal"))


def error(model: dde.Model) -> float:
    """The relative L2 error on 50 x 50 points."""
    axis = np.linspace(0, 1, 50)
    x, t = (part.reshape(-1, 1) for part in np.meshgrid(axis, axis))
    exact = np.sin(np.pi * x) * np.exp(-DIFFUSION * np.pi**2 * t)
    found = model.predict(np.hstack([x, t]))
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


class Forget(dde.callbacks.Callback):
    """Forget the curvature whenever the points have changed."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period, self.epochs = period, 0

    def on_epoch_end(self) -> None:
        self.epochs += 1
        if self.epochs % self.period == 0:
            self.model.opt.reset()


def trained(seed: int, method: str, given: argparse.Namespace, period: int) -> float:
    """The error after the iterations; with new weights of the loss after a third of them."""
    model = heat(seed)
    own = ddopt.TrustRegion(model.net.parameters()) if method != "adam" else "adam"
    rate = {"lr": given.rate} if method == "adam" else {}
    callbacks = [dde.callbacks.PDEPointResampler(period=period)] if period else []
    if period and method == "forgotten":
        callbacks.append(Forget(period))
    first = given.iterations // 3 if given.weights else given.iterations
    for iterations, weights in ((first, None), (given.iterations - first, given.weights)):
        if iterations:
            model.compile(own, loss_weights=weights, verbose=0, **rate)
            if weights and method == "forgotten":
                own.reset()
            model.train(iterations=iterations, display_every=10**9, callbacks=callbacks, verbose=0)
    return error(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--periods", type=int, nargs="*", default=[1, 10, 30, 100])
    parser.add_argument(
        "--weights", type=float, nargs=3, help="points that stay, and new weights of the loss"
    )
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rate", type=float, default=1e-3, help="Adam's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    dde.config.set_default_float("float64")
    for period in [0] if given.weights else given.periods:
        print(f"weights {given.weights}" if given.weights else f"new points every {period}")
        means = {}
        for method in ("kept", "forgotten", "adam"):
            errors = [trained(seed, method, given, period) for seed in given.seeds]
            means[method] = np.exp(np.mean(np.log(errors)))
            print(f"  {method:<10}", *(f"{one:.1e}" for one in errors), flush=True)
        ratios = (f"{name} / kept {means[name] / means['kept']:.2g}" for name in means)
        print("  geometric means:", ", ".join(list(ratios)[1:]), flush=True)


if __name__ == "__main__":
    main()

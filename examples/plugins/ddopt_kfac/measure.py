"""KFAC and quasi_newton in the same trust region, at equal evaluations: MNIST and a PINN.

    python measure.py

The PINN solves −u'' = π² sin πx on (0, 1) with u = 0 at both ends.
"""

import math

import torch
from ddopt_kfac import KFAC
from torch import nn
from torch.func import functional_call

import ddopt
from ddopt.executor import Serial
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting

BUDGETS = (25, 50, 100, 200)  # evaluations


def pinn():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1)
    ).double()
    inside = torch.linspace(0, 1, 102, dtype=torch.float64)[1:-1, None]
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64)

    def sums(named, samples):
        x = inside[samples.terms[0]].requires_grad_()
        u = functional_call(net, dict(named), (x,))
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
        residual = ddu + math.pi**2 * torch.sin(math.pi * x)
        border = functional_call(net, dict(named), (ends[samples.terms[1]],))
        return (residual**2).sum(), (border**2).sum()

    parameters = ddopt.Parameters(net.named_parameters())
    problem = ddopt.LayeredProblem(net, parameters.layout, sums, ddopt.Samples.all(100, 2))
    return problem, parameters.read()


def mnist():
    from ddopt_vision.datasets import MNIST

    task = MNIST(hidden=[64], train_samples=3000)
    task.prepare(Setting(dtype=torch.float32))
    return task.problem, task.initial


def losses(problem, theta, hessian):
    """f when each budget is spent; factors are charged as what they are, evaluations."""
    parts = ddopt.Parts(None, ddopt.GlobalPass(TrustRegion(hessian=hessian)))
    engine = ddopt.Engine(parts, Serial())
    spent = engine.start(problem, theta)
    found = []
    for budget in BUDGETS:
        while spent < budget:
            report = engine.step(problem)
            spent += report.total
            if not report.tried:
                break
        found.append(engine.point.value)
    return found


if __name__ == "__main__":
    print("problem, hessian: f after", *BUDGETS, "evaluations")
    for name, make in (("pinn", pinn), ("mnist", mnist)):
        for hessian in (KFAC(period=10), KFAC(), "quasi_newton"):
            values = losses(*make(), hessian)
            print(f"{name:6} {hessian!s:16}", *(f"{value:.2e}" for value in values), flush=True)

"""KFAC and quasi_newton in the same trust region, at equal evaluations: MNIST and a PINN.

    python measure.py

The PINN solves −u'' = π² sin πx on (0, 1) with u = 0 at both ends.
"""

import math
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.func import functional_call

import ddopt

HERE = Path(__file__).parent
BUDGETS = (25, 50, 100, 200)  # evaluations; what the factors are made from is charged, too
CURVATURES = {
    "kfac, period 10": {"name": "kfac", "period": 10},
    "kfac": "kfac",
    "quasi_newton": "quasi_newton",
}


class Sine(ddopt.Task):
    """−u'' = π² sin πx by a network 1-20-20-1: 100 points inside, and both ends."""

    name = "sine"

    class Config(ddopt.Settings):
        """No options."""

    def prepare(self, setting: ddopt.Setting) -> None:
        torch.manual_seed(setting.seed)
        layers = [nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1)]
        net = nn.Sequential(*layers).to(setting.dtype)
        inside = torch.linspace(0, 1, 102, dtype=setting.dtype)[1:-1, None]
        ends = torch.tensor([[0.0], [1.0]], dtype=setting.dtype)

        def sums(named, samples):
            x = inside[samples.terms[0]].requires_grad_()
            u = functional_call(net, dict(named), (x,))
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
            residual = ddu + math.pi**2 * torch.sin(math.pi * x)
            border = functional_call(net, dict(named), (ends[samples.terms[1]],))
            return (residual**2).sum(), (border**2).sum()

        parameters = ddopt.Parameters(net.named_parameters())
        samples = ddopt.Samples.all(100, 2)
        self.problem = ddopt.LayeredProblem(net, parameters.layout, sums, samples)
        self.initial = parameters.read()


def losses(problem, hessian):
    """f when each budget is spent, or at the end of a run that ends before."""
    changes = {"solver.hessian": hessian, "output.figures": False}
    changes |= {"plugins": [str(HERE / "ddopt_kfac.py")], "stop.evaluations": BUDGETS[-1]}
    with tempfile.TemporaryDirectory() as place:
        metrics = ddopt.train(problem, out=Path(place) / "run", show=False, **changes).metrics
        rows = list(zip(metrics["evaluations"], metrics["loss"], strict=True))
    return [next((f for at, f in rows if at >= budget), rows[-1][1]) for budget in BUDGETS]


if __name__ == "__main__":
    print("problem, hessian: f after", *BUDGETS, "evaluations")
    pinn = {"problem": Sine(), "strategy": "trust_region", "solver": {"name": "trust_region"}}
    for name, problem in (("pinn", pinn), ("mnist", HERE / "mnist.toml")):
        for label, hessian in CURVATURES.items():
            values = losses(problem, hessian)
            print(f"{name:6} {label:16}", *(f"{value:.2e}" for value in values), flush=True)

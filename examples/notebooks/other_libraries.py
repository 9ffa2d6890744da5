# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # PINA, neurodiffeq, torchphysics, plain PyTorch
#
# `ddopt.TrustRegion` is a `torch.optim.Optimizer` whose `step` takes a closure. A library that calls
# `optimizer.step(closure)` takes it as it is, and one line of a script changes. All four solve
#
# $$u'' = -\pi^2 \sin \pi x \quad\text{on}\quad (0, 1), \qquad u(0) = u(1) = 0.$$

# %%
import logging
import warnings

import matplotlib.pyplot as plt
import torch

import ddopt

warnings.simplefilter("ignore")  # what the libraries say of themselves
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

torch.set_default_dtype(torch.float64)  # trust regions compare losses
x = torch.linspace(0, 1, 50)[:, None]
exact = torch.sin(torch.pi * x)
found = {}

# %% tags=["parameters"]
steps = 100

# %% [markdown]
# ## Plain PyTorch
#
# ```diff
# -optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
# +optimizer = ddopt.TrustRegion(net.parameters())
# ```
#
# The loop calls `step` with a closure, as with `torch.optim.LBFGS`.

# %%
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
points = x.clone().requires_grad_()
optimizer = ddopt.TrustRegion(net.parameters())


def closure():
    optimizer.zero_grad()
    u = net(points)
    (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), points, create_graph=True)
    loss = ((second + torch.pi**2 * torch.sin(torch.pi * points)) ** 2).mean() + (
        u[[0, -1]] ** 2
    ).mean()
    loss.backward()
    return loss


for _ in range(steps):
    optimizer.step(closure)
found["PyTorch"] = net(x).detach()

# %% [markdown]
# ## PINA
#
# ```diff
# -solver = PINN(problem, net)
# +solver = PINN(problem, net, optimizer=TorchOptimizer(ddopt.TrustRegion))
# ```

# %% tags=["needs:pina"]
from pina import Condition, Trainer
from pina.domain import CartesianDomain
from pina.equation import Equation
from pina.equation.zoo import FixedValue
from pina.model import FeedForward
from pina.operator import laplacian
from pina.optim import TorchOptimizer
from pina.problem import SpatialProblem
from pina.solver import PINN


class Poisson(SpatialProblem):
    output_variables = ["u"]
    spatial_domain = CartesianDomain({"x": [0, 1]})
    domains = {"inside": spatial_domain}
    domains |= {f"end {x}": CartesianDomain({"x": x}) for x in (0.0, 1.0)}
    source = Equation(lambda x, u: laplacian(u, x) + torch.pi**2 * torch.sin(torch.pi * x))
    conditions = {"inside": Condition(domain="inside", equation=source)}
    conditions |= {
        f"end {x}": Condition(domain=f"end {x}", equation=FixedValue(0.0)) for x in (0.0, 1.0)
    }


problem = Poisson()
problem.discretise_domain(50, "grid", domains="inside")
problem.discretise_domain(1, "grid", domains=["end 0.0", "end 1.0"])
net = FeedForward(1, 1, inner_size=16, n_layers=1)
solver = PINN(problem, net, optimizer=TorchOptimizer(ddopt.TrustRegion))
quiet = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
Trainer(solver, max_epochs=steps, **quiet).train()
found["PINA"] = net(x).detach()

# %% [markdown]
# ## neurodiffeq
#
# ```diff
# -solver = Solver1D(**problem)
# +solver = Solver1D(**problem, optimizer=ddopt.TrustRegion(net.parameters()))
# ```
#
# The generator keeps its points from epoch to epoch: a trust region compares losses at the same points.

# %% tags=["needs:neurodiffeq"]
from neurodiffeq import diff
from neurodiffeq.conditions import DirichletBVP
from neurodiffeq.generators import Generator1D
from neurodiffeq.networks import FCNN
from neurodiffeq.solvers import Solver1D

net = FCNN(1, 1, hidden_units=(16,))
solver = Solver1D(
    ode_system=lambda u, t: [diff(u, t, order=2) + torch.pi**2 * torch.sin(torch.pi * t)],
    conditions=[DirichletBVP(t_0=0.0, u_0=0.0, t_1=1.0, u_1=0.0)],
    nets=[net],
    train_generator=Generator1D(50, 0.0, 1.0, method="equally-spaced"),
    valid_generator=Generator1D(50, 0.0, 1.0, method="equally-spaced"),
    optimizer=ddopt.TrustRegion(net.parameters()),
)
solver.fit(max_epochs=steps)
found["neurodiffeq"] = solver.get_solution()(x).detach().reshape(-1, 1)

# %% [markdown]
# ## torchphysics
#
# ```diff
# -setting = tp.OptimizerSetting(torch.optim.Adam, lr=1e-3)
# +setting = tp.OptimizerSetting(ddopt.TrustRegion, lr=1.0)  # lr has no effect
# ```
#
# `make_static` keeps the points. Its points on a boundary are float32, so the whole problem is.

# %% tags=["needs:torchphysics"]
import pytorch_lightning as lightning
import torchphysics as tp

torch.set_default_dtype(torch.float32)
X, U = tp.spaces.R1("x"), tp.spaces.R1("u")
rod = tp.domains.Interval(X, 0, 1)
net = tp.models.FCN(X, U, hidden=(16,))
terms = [
    (
        tp.samplers.GridSampler(rod, 50).make_static(),
        lambda u, x: tp.utils.laplacian(u, x) + torch.pi**2 * torch.sin(torch.pi * x),
    ),
    (tp.samplers.GridSampler(rod.boundary, 2).make_static(), lambda u: u),
]
conditions = [tp.conditions.PINNCondition(net, *term) for term in terms]
solver = tp.solver.Solver(
    conditions, optimizer_setting=tp.OptimizerSetting(ddopt.TrustRegion, lr=1.0)
)
lightning.Trainer(max_steps=steps, **quiet).fit(solver)
found["torchphysics"] = net(tp.spaces.Points(x.float(), X)).as_tensor.detach().double()

# %% [markdown]
# ## What they found

# %%
fig, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for (name, u), style in zip(found.items(), ["-", "--", "-.", ":"]):
    axes.semilogy(x[1:-1], abs(u - exact)[1:-1], style, label=name)
axes.set(xlabel="x", ylabel="|u − sin πx|", title=f"ddopt.TrustRegion, {steps} steps")
fig.legend(loc="outside right center", frameon=False)
plt.show()

# %% [markdown]
# Complete recipes, Gauss–Newton included, are in [In other libraries](../../docs/integrations.md).

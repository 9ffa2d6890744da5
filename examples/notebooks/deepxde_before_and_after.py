# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A DeepXDE script, before and after
#
# This is a complete script for the heat equation on a rod. Only the compile line is going to change.

# %%
import os

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import matplotlib.pyplot as plt
import numpy as np

import ddopt

dde.config.set_default_float("float64")  # trust regions compare losses

# %% tags=["parameters"]
before_steps, after_steps = 2000, 400

# %%
rod = dde.geometry.Interval(0, 1)
geometry = dde.geometry.GeometryXTime(rod, dde.geometry.TimeDomain(0, 1))


def equation(x, u):
    u_t = dde.grad.jacobian(u, x, i=0, j=1)
    return u_t - 0.1 * dde.grad.hessian(u, x, i=0, j=0)


def solution(x):
    return np.exp(-0.1 * np.pi**2 * x[:, 1:]) * np.sin(np.pi * x[:, :1])


conditions = [
    dde.icbc.DirichletBC(geometry, solution, lambda x, on: on),
    dde.icbc.IC(geometry, solution, lambda x, on: on),
]


def new_model():
    dde.config.set_random_seed(0)
    data = dde.data.TimePDE(
        *(geometry, equation, conditions),
        num_domain=300,
        num_boundary=40,
        num_initial=40,
        solution=solution,
        num_test=1000,
    )
    net = dde.nn.FNN([2, 20, 20, 20, 1], "tanh", "Glorot normal")
    return dde.Model(data, net), net


# %% [markdown]
# ## Before
#
# Adam with the rate of DeepXDE's examples.

# %%
model, net = new_model()
model.compile("adam", lr=1e-3, metrics=["l2 relative error"])
before, _ = model.train(iterations=before_steps, display_every=before_steps // 20)

# %% [markdown]
# ## After
#
# The same data, the same first parameters. There is nothing to tune.

# %%
model, net = new_model()
model.compile(ddopt.TrustRegion(net.parameters()), metrics=["l2 relative error"])
after, _ = model.train(iterations=after_steps, display_every=after_steps // 20)

# %% [markdown]
# Each iteration of either is one evaluation of the loss with its gradient.

# %%
fig, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.semilogy(before.steps, np.ravel(before.metrics_test), "--", label="Adam, lr = 1e-3")
axes.semilogy(after.steps, np.ravel(after.metrics_test), label="ddopt.TrustRegion")
axes.set(xlabel="iterations", ylabel="relative L2 error", title="heat equation, seed 0")
axes.legend(frameon=False)
plt.show()

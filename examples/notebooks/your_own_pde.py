# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Your own PDE
#
# A problem is a class with a geometry, an equation and conditions, in DeepXDE's words. We take an equation that
# does not come with ddopt: Fisher's, in which a population spreads as a travelling front,
#
# $$u_t = 0.01\,u_{xx} + 6\,u\,(1 - u) \quad\text{on}\quad (-1, 1) \times (0, 1).$$
#
# Ablowitz and Zeppenfeld (1979) found a front in closed form, $u = (1 + e^{10x - 5t})^{-2}$. We use it for the
# initial and boundary values, and to measure the error.

# %%
import matplotlib.pyplot as plt
import numpy as np

import ddopt
from ddopt_pinn import PDETask, dde

# %% tags=["parameters"]
steps = 400


# %% [markdown]
# `axes` names the coordinates. `x[:, 0]` is space and `x[:, 1]` is time. `dde` is DeepXDE, imported when it is first
# used. Leave `solution` out where you know none: the run then reports the residual at fresh points.


# %%
class Fisher(PDETask):
    """Fisher's equation with a front that travels to the right."""

    name = "fisher"
    axes = ("x", "t")

    def geometry(self):
        line = dde.geometry.Interval(-1, 1)
        return dde.geometry.GeometryXTime(line, dde.geometry.TimeDomain(0, 1))

    def equation(self, x, u):
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        return u_t - 0.01 * u_xx - 6 * u * (1 - u)

    def conditions(self, geometry):
        return [
            dde.icbc.DirichletBC(geometry, self.solution, lambda x, on: on),
            dde.icbc.IC(geometry, self.solution, lambda x, on: on),
        ]

    def solution(self, points):
        return (1 + np.exp(10 * points[:, :1] - 5 * points[:, 1:])) ** -2.0


# %% [markdown]
# Training takes an object of the class, with the options that every such problem has.

# %%
problem = Fisher(interior=500, boundary=40, initial=40, width=16, depth=3)
result = ddopt.train(
    {"problem": problem, "strategy": "trust_region", "stop": {"iterations": steps}}, show=False
)
result

# %% [markdown]
# The figure shows the solution, its error, and where the equation is not satisfied yet. `predict` gives the values
# for a figure of our own: the front at four times.

# %%
x = np.linspace(-1, 1, 201)
fig, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for t, color in zip([0.0, 0.33, 0.67, 1.0], ["#a9bce8", "#6c8cd6", "#2e59be", "#182f66"]):
    points = np.stack([x, np.full_like(x, t)], axis=1)
    axes.plot(x, result.predict(points)[:, 0], color=color, label=f"t = {t:g}")
    axes.plot(x, problem.solution(points)[:, 0], "k:", lw=0.8)
axes.set(xlabel="x", ylabel="u", title="Fisher's front; dotted: exact")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# To use the class from the command line, save it in a file with the three lines of
# [Five minutes](../../docs/start.md) that register it. Next: [an inverse problem](inverse_problem.ipynb).

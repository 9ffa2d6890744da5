# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # An inverse problem with noisy data
#
# A rod cools by $u_t = c\,u_{xx}$ on $(0, 1) \times (0, 1)$, from $u = \sin \pi x$, with cold ends. The diffusivity
# $c$ is unknown. We have measured $u$ at random points, with noise. The network and $c$ are found together.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from pydantic import Field

import ddopt
from ddopt_pinn import PDETask, dde

TRUE = 0.3

# %% tags=["parameters"]
steps, draws = 30, 6


# %% [markdown]
# `unknowns` names the coefficients and says where they start; `equation` receives them. Measurements are a
# `PointSetBC`. The initial and boundary values are built into the network, so that the loss has two terms: the
# equation and the data.


# %%
class Rod(PDETask):
    """A rod with noisy measurements; its diffusivity is unknown."""

    name = "rod"
    axes = ("x", "t")
    unknowns = {"c": 1.0}
    truth = {"c": TRUE}

    class Config(PDETask.Config):
        noise: float = Field(0.02, description="standard deviation of the noise")
        draw: int = Field(0, description="seed of the measurements")
        measurements: int = Field(40, description="number of measurements")

    def geometry(self):
        line = dde.geometry.Interval(0, 1)
        return dde.geometry.GeometryXTime(line, dde.geometry.TimeDomain(0, 1))

    def equation(self, x, u, c):
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t - c * dde.grad.hessian(u, x, i=0, j=0)

    def measured(self):
        random = np.random.default_rng(self.config.draw)
        points = random.uniform(size=(self.config.measurements, 2))
        return points, self.solution(points) + self.config.noise * random.normal(
            size=(len(points), 1)
        )

    def conditions(self, geometry):
        return [dde.icbc.PointSetBC(*self.measured())]

    def network(self):
        net = super().network()
        bump = lambda x: x[:, :1] * (1 - x[:, :1])  # noqa: E731
        net.apply_output_transform(
            lambda x, y: torch.sin(torch.pi * x[:, :1]) + x[:, 1:] * bump(x) * y
        )
        return net

    def solution(self, points):
        return np.exp(-TRUE * np.pi**2 * points[:, 1:]) * np.sin(np.pi * points[:, :1])


# %% [markdown]
# A loss that is a sum of squares wants Gauss–Newton. One run with 40 values:


# %%
def run(figures=False, **options):
    problem = Rod(interior=100, boundary=0, width=10, depth=2, **options)
    run_file = {"problem": problem, "strategy": "trust_region", "solver": "levenberg_marquardt"}
    output = {"measure_every": 1, "figures": figures}
    return ddopt.train(run_file, show=False, stop={"iterations": steps}, output=output)


result = run(figures=True)
result

# %%
print(f"c = {result.summary['c']:.4f}, true {TRUE}")

# %% [markdown]
# How sure is that? We draw the noise anew and look at the spread. A quarter of the noise should give a quarter of
# the spread. If it does not, something other than the data limits the answer.

# %%
found = {
    noise: [run(noise=noise, draw=d).summary["c"] for d in range(draws)] for noise in (0.04, 0.01)
}
for noise, values in found.items():
    print(f"noise {noise}: c = {np.mean(values):.4f} ± {np.std(values):.4f}")

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.plot(result.metrics["iteration"], result.metrics["c"])
left.axhline(TRUE, color="k", ls=":", lw=1)
left.set(xlabel="iteration", ylabel="c", title="noise 0.02; dotted: the true value")
for place, values in enumerate(found.values()):
    right.plot([place] * len(values), values, "o", alpha=0.6)
right.axhline(TRUE, color="k", ls=":", lw=1)
right.set(xticks=[0, 1], xticklabels=[f"noise {n}" for n in found], xlim=(-0.5, 1.5))
right.set(ylabel="c", title=f"{draws} draws of the noise")
plt.show()

# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Poisson in five minutes
#
# We train a network that solves −Δu = 2π² sin πx sin πy on the unit square, with u = 0 on the boundary.
# The exact solution is sin πx sin πy, so every run can say how far it is from it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import ddopt

# %% [markdown]
# The next cell holds the budget in iterations. Raise it for more digits.

# %% tags=["parameters"]
steps = 300

# %% [markdown]
# A run file is a table. Here it is a dict; `ddopt init poisson2d` writes the same as a TOML file. The strategy
# `trust_region` decomposes nothing and is the one to begin with. No learning rate appears.

# %%
run_file = {
    "problem": {"name": "poisson2d", "interior": 400, "width": 20, "depth": 4},
    "strategy": "trust_region",
    "stop": {"iterations": steps},
    "output": {"measure_every": 1},
}
result = ddopt.train(run_file, show=False)
result

# %% [markdown]
# The figure above is the one that the command line draws. The numbers behind it have a row for each iteration:

# %%
last = {key: result.metrics[key][len(result.metrics) - 1] for key in result.metrics.columns}
for key in ("iteration", "loss", "error", "radius", "accepted", "rejected"):
    print(f"{key:10} {last[key]:.4g}")

# %% [markdown]
# The trained network answers at any point.

# %%
x = np.linspace(0, 1, 101)
line = np.stack([x, np.full_like(x, 0.5)], axis=1)
exact = np.sin(np.pi * x)
print(f"largest error on the line y = 1/2: {abs(result.predict(line)[:, 0] - exact).max():.1e}")

# %% [markdown]
# Any setting can be changed by its dotted key. Gauss–Newton works on the residuals of the equation instead of
# their sum. An iteration costs more and gains more, so we compare by evaluations: the loss with its gradient is one,
# the Jacobian of all residuals is three.

# %%
gauss_newton = ddopt.train(
    run_file, solver="levenberg_marquardt", show=False, **{"stop.iterations": max(1, steps // 10)}
)

# %%
fig, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for name, run, style in [("quasi-Newton", result, "-"), ("Gauss–Newton", gauss_newton, "--")]:
    axes.semilogy(run.metrics["evaluations"], run.metrics["error"], style, label=name)
axes.set(xlabel="evaluations", ylabel="relative L2 error", title="poisson2d, trust_region, seed 0")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Next: [your own PDE](your_own_pde.ipynb).

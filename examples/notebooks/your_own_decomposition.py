# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Your own decomposition
#
# A decomposition says which parameters a subdomain moves, or which samples it sees. Ours deals the parameters out like
# cards: subdomain i moves the coordinates i, i + N, i + 2N, ... We check it, run it, and compare it with a cut between
# layers.

# %%
import matplotlib.pyplot as plt
import torch
from pydantic import Field

import ddopt
from ddopt.testing import check_decomposition

# %% tags=["parameters"]
steps = 40


# %% [markdown]
# Options live in `Config`; each has a default and a description. `split` returns the subdomains.


# %%
class Interleaved(ddopt.Decomposition):
    """Subdomain i moves the coordinates i, i + N, i + 2N, ..."""

    name = "interleaved"

    class Config(ddopt.Settings):
        subdomains: int = Field(2, ge=1, description="number of subdomains N")

    def split(self, problem):
        n, count = problem.layout.size, self.config.subdomains
        return [ddopt.Subdomain(i, torch.arange(i, n, count)) for i in range(count)]


# %% [markdown]
# The check runs the decomposition on a small problem, twice, and as one that is restored. It raises an
# `AssertionError` with one sentence if anything is wrong. Here is a mistake, to see what is said.


# %%
class Forgetful(Interleaved):
    name = "forgetful"

    def split(self, problem):
        return [ddopt.Subdomain(0, torch.tensor([problem.layout.size]))]


check_decomposition(Interleaved(subdomains=3), ranks=False)
try:
    check_decomposition(Forgetful(), ranks=False)
except AssertionError as error:
    print(error)

# %% [markdown]
# The strategy `sapts` takes any decomposition. Steps of disjoint subdomains are added up.

# %%
run_file = {
    "problem": {"name": "poisson1d", "interior": 40, "width": 12, "depth": 3},
    "strategy": {"name": "sapts", "recombination": "sum"},
    "stop": {"iterations": steps},
    "output": {"measure_every": 1, "figures": False},
}
runs = {
    f"{name}, N = 3": ddopt.train(run_file, show=False, **{"strategy.decomposition": cut})
    for name, cut in [
        ("interleaved", Interleaved(subdomains=3)),
        ("layers", {"name": "layers", "subdomains": 3}),
    ]
}

# %%
fig, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
for (name, run), style in zip(runs.items(), ["-", "--"]):
    axes.semilogy(run.metrics["evaluations"], run.metrics["error"], style, label=name)
axes.set(xlabel="evaluations per process", ylabel="relative L2 error", title="poisson1d, seed 0")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# To use it in run files, put the class into a file and register it; [Writing a plugin](../../docs/plugins.md) begins
# with a decomposition in ten minutes.

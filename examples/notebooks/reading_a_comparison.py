# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Reading a comparison
#
# Who is better? Only runs with the same start and the same budget can say. `ddopt.compare_methods` does what
# `ddopt compare` does: every method starts from the same parameters, has the same number of evaluations, and runs with
# several seeds. Adam gets the best of several learning rates, and pays nothing for the search.

# %%
import ddopt

# %% tags=["parameters"]
budget, seeds, rates = 200, 2, [1e-3, 3e-3, 1e-2]

# %%
run_file = {
    "problem": {"name": "poisson1d", "interior": 40, "width": 12, "depth": 3},
    "strategy": "trust_region",
    "stop": {"iterations": 1},
}
comparison = ddopt.compare_methods(
    run_file,
    strategies=["sapts_d:2"],
    against=["adam", "lbfgs"],
    evaluations=budget,
    seeds=seeds,
    rates=rates,
    show=False,
)
comparison

# %% [markdown]
# ## The table
#
# Methods are sorted by the geometric mean of the error over the seeds, which treats a factor of ten up and a
# factor of ten down alike. `std` says how much the seeds differ: a difference within it says little.

# %%
for row in comparison.rows:
    print(f"{row['method']:20} error {row['geometric_mean']:.1e}, loss {row['loss']:.1e}")

# %% [markdown]
# Three things are worth a second look.
#
# - **Evaluations are those of one process.** SAPTS_D with two subdomains computes twice as many in total. It is
#   meant for two processes; in one, look at the total or at the seconds.
# - **The rate of Adam.** If the best rate is at the end of the range, the range was too short. Here it is: try 3e-2
#   before you judge Adam.
# - **Loss and error.** A method may have the smaller loss and the larger error: then the points are too few.

# %%
summary = comparison.run("sapts_d, N = 2").summary
print("evaluations of SAPTS_D:", summary["evaluations"])
adam = [row["rate"] for row in comparison.rows if row["method"] == "adam"]
print(f"Adam's best rate {adam[0]:g}, of {rates}")

# %% [markdown]
# ## The runs behind it
#
# Every run has its folder, so a curve that looks strange can be looked into.

# %%
best = comparison.run("trust_region", seed=0)
print(best.folder.name, best.summary["stop_reason"], f"error {best.summary['error']:.1e}")
best.metrics["radius"][:5]

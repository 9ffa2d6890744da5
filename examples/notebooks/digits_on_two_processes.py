# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Digits with SAPTS_D on two processes
#
# SAPTS_D cuts the samples into subdomains. Each solves by itself for some iterations and sends nothing meanwhile.
# Then the ends are combined, and the loss over all samples decides. We train a classifier of scikit-learn's digits
# with four subdomains, first in one process and then in two. Every number must be the same.

# %%
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt

# %% tags=["parameters"]
steps = 8

# %% [markdown]
# Several processes need a script. `connect` gives the executor: alone, or one of those that `torchrun` started. The
# closure takes a part of the batch and returns the mean loss over it.

# %%
SCRIPT = """
import sys

import torch
from sklearn.datasets import load_digits

import ddopt
from ddopt.executor.launch import connect

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16), torch.tensor(labels)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
model.double()


def closure(part):
    optimizer.zero_grad()
    loss = torch.nn.functional.cross_entropy(model(part[0]), part[1])
    loss.backward()
    return loss


with connect() as executor:
    optimizer = ddopt.SAPTS(model.parameters(), variant="D", subdomains=4, executor=executor)
    for step in range(int(sys.argv[1])):
        loss = optimizer.step(closure, (x[:1500], y[:1500]))
        accuracy = (model(x[1500:]).argmax(1) == y[1500:]).double().mean()
        if executor.rank == 0:
            print(step, float(loss).hex(), float(accuracy), executor.bytes_sent, flush=True)
"""
_ = Path("digits_sapts.py").write_text(SCRIPT)


# %%
def run(*launcher):
    command = [sys.executable, *launcher, "digits_sapts.py", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return [(int(k), float.fromhex(f), float(a), int(b)) for k, f, a, b in rows]


one = run()
two = run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
for (k, f, accuracy, _), (_, g, _, sent) in zip(one, two, strict=True):
    print(
        f"step {k}: loss {f:.6f}, {g:.6f}, test accuracy {accuracy:.1%}, sent {sent / 1e3:.0f} kB"
    )
print("the same bits:", [row[1] for row in one] == [row[1] for row in two])

# %% [markdown]
# How much did the two processes send? Training by gradients sends one for each evaluation. SAPTS_D sends two vectors for
# each accepted step of twenty local iterations.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
left.semilogy(*zip(*[row[:2] for row in one]), "-", label="one process")
left.semilogy(*zip(*[row[:2] for row in two]), "o", mfc="none", label="two processes")
left.set(xlabel="outer iteration", ylabel="loss", title="digits, SAPTS_D, N = 4, seed 0")
left.legend(frameon=False)
right.plot([row[0] for row in two], [row[3] / 1e3 for row in two], "o-")
right.set(xlabel="outer iteration", ylabel="kB sent by process 0", title="communication")
plt.show()

# %% [markdown]
# A run file needs no script: `ddopt run RUN.toml --processes 2`. More is in
# [Many processes](../../docs/distributed.md).

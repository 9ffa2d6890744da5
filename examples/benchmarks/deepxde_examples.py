"""DeepXDE's own forward examples, their files as they are, with another compile line.

    git clone https://github.com/lululxvi/deepxde
    python examples/benchmarks/deepxde_examples.py deepxde [--evaluations 1000] [--dtype float32]

Each script is read from the checkout and executed. Against its own run, one thing in its text is
another: `"adam", lr=...` (or `"L-BFGS"`) in `model.compile(...)` is one of ours. A run is stopped
from outside after as many evaluations of the loss with its gradient; a script that trains in two
stages, Adam and then L-BFGS, gives each of them half, in every column. The error is that of the
script: of the `y_true` and `y_pred` that it compares, otherwise on its test points.
"""

import argparse
import contextlib
import io
import os
import re
import tempfile
import warnings
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # the scripts show their figures

import matplotlib.pyplot as plt
import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import ddopt
from ddopt_pinn import dde
from ddopt_pinn.library import numbers

# Those that run on DeepXDE's PyTorch backend without switching comments in the file, and that
# know the solution. Others need `from deepxde.backend import tf` replaced first, or, as Burgers,
# train their second stage by `model.train()`, which DeepXDE takes from L-BFGS and NNCG alone.
EXAMPLES = [
    "Poisson_Neumann_1d",
    "Poisson_Robin_1d",
    "ode_2nd",
    "ode_system",
    "Euler_beam",
    "Helmholtz_Dirichlet_2d",
]
METHODS = {
    "its own": None,
    "TrustRegion": "ddopt.TrustRegion(net.parameters())",
    "SAPTS_P, N = 2": 'ddopt.SAPTS(net.parameters(), variant="P", subdomains=2)',
}
COMPILE = re.compile(r'(?<=model\.compile\()(\s*)"[\w-]+"(, lr=[\w.-]+)?')
TRAIN = re.compile(r"^[^#\n]*model\.train\(", re.MULTILINE)


class Budget:
    """Stops each stage of training when the next step would go beyond its evaluations."""

    def __init__(self, each, names):
        self.each, self.names = each, names
        self.stages = []  # evaluations of each optimizer, in order
        self._optimizer = None

    def before(self, optimizer, *_):
        """One step of L-BFGS is a whole run; torch looks at its limit after a line search."""
        if isinstance(optimizer, torch.optim.LBFGS):
            optimizer.param_groups[0]["max_eval"] = self.each

    def after(self, optimizer, *_):
        if optimizer is not self._optimizer:
            self._optimizer = optimizer
            self.stages.append(0)
        before, self.stages[-1] = self.stages[-1], self._spent(optimizer)
        if 2 * self.stages[-1] - before > self.each:
            self.names["model"].stop_training = True

    def _spent(self, optimizer):
        if isinstance(optimizer, torch.optim.LBFGS):
            return next(iter(optimizer.state.values()))["func_evals"]
        return getattr(optimizer, "evaluations", self.stages[-1] + 1)


def error(names):
    """The relative L2 error that the script itself looks at."""
    if "y_true" in names:
        return dde.metrics.l2_relative_error(names["y_true"], names["y_pred"])
    model = names["model"]
    state = model.train_state
    return dde.metrics.l2_relative_error(state.y_test, model.predict(state.X_test))


def run(checkout, example, optimizer, seed, evaluations, dtype):
    """The error that the example ends with, and the evaluations of its stages."""
    text = (checkout / "examples/pinn_forward" / f"{example}.py").read_text(encoding="utf-8")
    each = evaluations // len(TRAIN.findall(text))
    if optimizer:
        text = COMPILE.sub(rf"\1{optimizer}", text)
    names = {"__name__": "__main__", "ddopt": ddopt}
    budget = Budget(each, names)
    hooks = (
        register_optimizer_step_pre_hook(budget.before),
        register_optimizer_step_post_hook(budget.after),
    )
    with (
        numbers(dtype, torch.device("cpu")),
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message="FigureCanvasAgg")
        place = Path(folder) / "pinn_forward"  # the scripts write beside themselves
        place.mkdir()
        (place.parent / "dataset").symlink_to((checkout / "examples/dataset").resolve())
        dde.config.set_random_seed(seed)
        try:
            with contextlib.chdir(place):
                exec(compile(text, f"{example}.py", "exec"), names)
            return error(names), budget.stages
        finally:
            plt.close("all")
            for hook in hooks:
                hook.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a checkout of DeepXDE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--only", nargs="*", default=EXAMPLES, help="names of examples")
    options = parser.parse_args()
    torch.set_num_threads(1)
    dtype = getattr(torch, options.dtype)
    print("| example | optimizer | relative L2 error | evaluations |")
    print("|---|---|---|---|")
    for example in options.only:
        for method, text in METHODS.items():
            rows = [
                run(options.checkout, example, text, seed, options.evaluations, dtype)
                for seed in options.seeds
            ]
            errors = ", ".join(f"{found:.1e}" for found, _ in rows)
            spent = ", ".join(" + ".join(f"{stage:g}" for stage in stages) for _, stages in rows)
            print(f"| {example} | {method} | {errors} | {spent} |", flush=True)


if __name__ == "__main__":
    main()

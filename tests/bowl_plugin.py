"""A problem for the tests of runs: 60 nonlinear residuals in 10 unknowns, with a known solution."""

from __future__ import annotations

import os
import signal

import torch
from pydantic import Field

import ddopt


class Bowl(ddopt.Task):
    """Nonlinear least squares whose solution is known."""

    name = "bowl"

    class Config(ddopt.Settings):
        size: int = Field(10, ge=1, description="number of unknowns")
        broken: bool = Field(False, description="start where the loss is nan")
        cusp: bool = Field(False, description="add |x|, whose gradient is nan at 0, the start")

    def prepare(self, setting: ddopt.Setting) -> None:
        size, dtype, cusp = self.config.size, setting.dtype, self.config.cusp
        generator = torch.Generator().manual_seed(setting.seed)
        rows = torch.randn(60, size, generator=generator, dtype=torch.float64).to(dtype)
        self.solution = torch.linspace(-1.0, 1.0, size, dtype=dtype)
        target = torch.tanh(rows @ self.solution)

        def sums(named, samples):
            index = samples.terms[0]
            loss = ((torch.tanh(rows[index] @ named["x"]) - target[index]) ** 2).sum()
            return (loss + (named["x"].square().sum().sqrt() if cusp else 0.0),)

        layout = ddopt.Layout.flat(size, dtype)
        self.problem = ddopt.AutogradProblem(layout, sums, ddopt.Samples.all(60))
        self.initial = torch.zeros(size, dtype=dtype)
        if self.config.broken:
            self.initial = torch.full_like(self.initial, torch.nan)

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        return {"error": float((theta - self.solution).norm() / self.solution.norm())}

    def draw(self, theta, metrics, folder):
        path = folder / "figure.txt"
        path.write_text(f"{len(metrics)} lines")
        return [path]


@ddopt.hookimpl
def ddopt_register(register):
    register(Bowl)


@ddopt.hookimpl
def ddopt_after_step(run):
    """Raise a signal in an iteration that the environment names: BOWL_SIGKILL=9.

    Only once, where a launcher starts the processes again, and on BOWL_RANK alone if that is given.
    """
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if again or os.environ.get("BOWL_RANK", "") not in ("", str(run.executor.rank)):
        return
    for kind in ("SIGKILL", "SIGINT", "SIGTERM", "SIGHUP"):
        if os.environ.get(f"BOWL_{kind}") == str(run.tally.iterations):
            os.kill(os.getpid(), getattr(signal, kind))

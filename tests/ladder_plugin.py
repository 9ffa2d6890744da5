"""A task for the tests of ``Task.proceed``: least-squares problems with more and more unknowns."""

from __future__ import annotations

import torch
from pydantic import Field

import ddopt


class Ladder(ddopt.Task):
    """‖A_k x − b_k‖² for k = 0, 1, ..; x of one is the beginning of the next one's start."""

    name = "ladder"

    class Config(ddopt.Settings):
        sizes: list[int] = Field([2, 3, 5], description="numbers of unknowns")

    def prepare(self, setting: ddopt.Setting) -> None:
        self._seed, self._rung = setting.seed, 0
        self._kind = setting.dtype
        self.initial = torch.zeros(self.config.sizes[0], dtype=self._kind)
        self._pose()

    def _pose(self) -> None:
        n = self.config.sizes[self._rung]
        generator = torch.Generator().manual_seed(self._seed + self._rung)
        rows = torch.randn(20, n, generator=generator, dtype=torch.float64).to(self._kind)
        self.solution = torch.linspace(0.0, 1.0, n, dtype=self._kind)
        wanted = rows @ self.solution

        def sums(named, samples):
            index = samples.terms[0]
            return (((rows[index] @ named["x"]) - wanted[index]).square().sum(),)

        layout = ddopt.Layout.flat(n, self._kind)
        self.problem = ddopt.AutogradProblem(layout, sums, ddopt.Samples.all(20))

    def proceed(self, theta: torch.Tensor) -> torch.Tensor | None:
        if self._rung + 1 == len(self.config.sizes):
            return None
        self._rung += 1
        self._pose()
        more = self.problem.layout.size - len(theta)
        return torch.cat([theta, theta.new_zeros(more)])

    def state_dict(self):
        return {"rung": self._rung}

    def load_state_dict(self, state):
        if state["rung"] != self._rung:
            self._rung = state["rung"]
            self._pose()

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        return {"error": float((theta - self.solution).norm()), "rung": float(self._rung)}


@ddopt.hookimpl
def ddopt_register(register):
    register(Ladder)

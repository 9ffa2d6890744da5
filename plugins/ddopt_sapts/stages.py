"""SAPTS_IP: the network is cut into stages, and a process holds its own stages only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ddopt.decomposition.stages import Stages
from ddopt.method.strategy import Strategy
from ddopt.setup.component import Chosen, Settings
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import Parts
    from ddopt.task import Task


def stages_of(
    task: Task, count: int, chunks: int, executor: Executor
) -> tuple[Problem, torch.Tensor]:
    """The task in stages, each on the process that owns it, and the first parameters there."""
    problem = task.staged(count, chunks, executor)
    return problem, problem.initial()


class SaptsIP(Strategy):
    """Inexact layer-wise SAPTS: between two synchronisations a stage needs nothing from the others.

    A stage sees its input and its output cotangent of the last global pass; its objective is exact
    to first order there. ``subdomains`` is the number of stages.
    """

    name = "sapts_ip"
    look = 10

    class Config(PreconditionedSettings):
        """Options of the pipeline."""

        subdomains: int = Field(2, ge=1, description="number of stages N")
        recombination: Annotated[Settings, Chosen("recombination")] = Field(
            "sum", validate_default=True, description="how the local steps make one step"
        )
        chunks: int = Field(
            1, ge=1, description="micro-batches, on which the stages work at the same time"
        )

    shares = 1  # every stage sees all samples

    def place(self, task: Task, executor: Executor) -> tuple[Problem, torch.Tensor]:
        """Each process holds its own stages, and vectors of their parameters alone."""
        return stages_of(task, self.config.subdomains, self.config.chunks, executor)

    def parts(self, solver: Settings) -> Parts:
        """The stages, the sum of their steps (they move different parameters), one global step."""
        return assemble(self.config, Stages(), solver, consistency=False)

"""The hybrid: parts of the samples times groups of layers, or times stages of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.decomposition.product import Product
from ddopt.decomposition.stages import Stages
from ddopt.method.strategy import Strategy
from ddopt.setup.component import Settings
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import Parts
    from ddopt.task import Task


class Hybrid(Strategy):
    """SAPTS over N_D x N_P subdomains: part i of the samples, group j of the parameters.

    The paper's outlook (arXiv 2502.05133, section 5). With stages, a process holds its own stages
    only: the processes are a grid, stages along its rows and parts of the samples along its
    columns, and W divides the number of stages or is a multiple of it.
    """

    name = "hybrid"
    look = 3

    class Config(PreconditionedSettings):
        """The two numbers, and the options of both factors."""

        parts: int = Field(2, ge=1, description="parts of the samples N_D")
        groups: int = Field(2, ge=1, description="groups of layers, or stages, N_P")
        cut: Literal["layers", "stages"] = Field(
            "layers",
            description="layers: every process holds the whole model; stages: its own stages",
        )
        overlap: float = Field(
            0.0, ge=0.0, le=1.0, description="fraction of D added to each part's 1/N_D"
        )
        grouping: Literal["balanced", "module", "random"] = Field(
            "balanced", description="how layers are grouped; see the layers decomposition"
        )
        patterns: list[list[str]] | None = Field(
            None, description="explicit groups of parameter name patterns; groups then follows"
        )
        chunks: int = Field(
            1, ge=1, description="micro-batches, on which the stages work at the same time"
        )
        consistency: bool = Field(
            True, description="first-order consistent local objectives (equations 3 and 4)"
        )

    @property
    def subdomains(self) -> int:
        """N = N_D N_P."""
        return int(self.config.parts) * self._groups

    @property
    def shares(self) -> int:
        """All N processes take part in an evaluation; with stages, in their own stages of it."""
        return self.subdomains if self.config.cut == "layers" else int(self.config.parts)

    @property
    def _groups(self) -> int:
        patterns = self.config.patterns if self.config.cut == "layers" else None
        return int(self.config.groups) if patterns is None else len(patterns)

    def place(self, task: Task, executor: Executor) -> tuple[Problem, torch.Tensor]:
        """With stages, each process holds its own, and vectors of their parameters alone."""
        if self.config.cut == "layers":
            return super().place(task, executor)
        along, across = executor.grid(self.config.groups)
        problem = task.staged(self.config.groups, self.config.chunks, along)
        problem.copied(across)
        return problem, problem.initial()

    def parts(self, solver: Settings) -> Parts:
        """All pairs of a part and a group, the mean over the parts, one global step."""
        options = self.config
        groups = Stages.Config()
        if options.cut == "layers":
            groups = Layers.Config(
                subdomains=options.groups, grouping=options.grouping, patterns=options.patterns
            )
        product = Product(
            samples=Data.Config(subdomains=options.parts, overlap=options.overlap),
            parameters=groups,
        )
        return assemble(options, product, solver, consistency=options.consistency)

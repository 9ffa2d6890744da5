"""SAPTS_P: the parameters are decomposed by layers, every subdomain sees all samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from ddopt.decomposition.layers import Layers
from ddopt.decomposition.stages import Stages
from ddopt.method.strategy import Strategy
from ddopt.setup.component import Chosen, Settings
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble
from ddopt_sapts.stages import stages_of

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import Parts
    from ddopt.task import Task


class LayerSettings(PreconditionedSettings):
    """Options of the layer decomposition."""

    subdomains: int = Field(2, ge=1, description="number of subdomains N")
    recombination: Annotated[Settings, Chosen("recombination")] = Field(
        "sum", validate_default=True, description="how the local steps make one step"
    )
    grouping: Literal["balanced", "module", "random"] = Field(
        "balanced", description="how layers are grouped; see the layers decomposition"
    )
    patterns: list[list[str]] | None = Field(
        None, description="explicit groups of parameter name patterns; they say what N is"
    )

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, options: Any) -> Any:
        """N is the number of the groups that are given."""
        if not isinstance(options, dict) or not isinstance(options.get("patterns"), (list, tuple)):
            return options
        return {"subdomains": len(options["patterns"]), **options}

    @model_validator(mode="after")
    def _agree(self) -> LayerSettings:
        """Raise ``ValueError`` where N and groups are given, and differ."""
        if self.patterns is not None and self.subdomains != len(self.patterns):
            raise ValueError(
                f"subdomains = {self.subdomains}, and patterns has {len(self.patterns)} "
                "groups; leave subdomains out"
            )
        return self


def assemble_layers(options: Any, solver: Settings) -> Parts:
    """The parts of a layer-wise strategy."""
    decomposition = Layers(
        subdomains=options.subdomains, grouping=options.grouping, patterns=options.patterns
    )
    return assemble(options, decomposition, solver, consistency=False)


class SaptsP(Strategy):
    """Layer-wise SAPTS: disjoint groups of layers, the others held; consistency is automatic."""

    name = "sapts_p"
    look = 4

    class Config(LayerSettings):
        """Options of the layer decomposition."""

    def parts(self, solver: Settings) -> Parts:
        """Groups of layers, the sum of their steps, one global step."""
        return assemble_layers(self.config, solver)


class NAPTS(Strategy):
    """Non-monotone layer-wise APTS: coarse-space directions, judged against a window of values.

    Source: arXiv 2605.14860. The coarse space holds the local steps, the gradient and the last
    step; a problem must multiply with its Hessian for it. The loss may rise for a while, never
    above the largest of the last values in the window. The subdomains are those of ``sapts_p``, or
    with ``cut = "stages"`` those of ``sapts_ip``.
    """

    name = "napts"
    look = 12

    class Config(LayerSettings):
        """The non-monotone choices."""

        recombination: Annotated[Settings, Chosen("recombination")] = Field(
            "coarse", validate_default=True, description="how the local steps make one step"
        )
        acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
            "window", validate_default=True, description="whether the recombined step is taken"
        )
        cut: Literal["layers", "stages"] = Field(
            "layers",
            description="layers: every process holds the whole model; stages: its own stages",
        )
        chunks: int = Field(
            1, ge=1, description="micro-batches, on which the stages work at the same time"
        )

    @property
    def shares(self) -> int:
        """N, or with stages 1: every stage sees all samples."""
        return self.subdomains if self.config.cut == "layers" else 1

    def place(self, task: Task, executor: Executor) -> tuple[Problem, torch.Tensor]:
        """With stages, each process holds its own, and vectors of their parameters alone."""
        if self.config.cut == "layers":
            return super().place(task, executor)
        return stages_of(task, self.config.subdomains, self.config.chunks, executor)

    def parts(self, solver: Settings) -> Parts:
        """Layers or stages, the coarse minimiser over their steps, a window, one global step."""
        if self.config.cut == "layers":
            return assemble_layers(self.config, solver)
        return assemble(self.config, Stages(), solver, consistency=False)

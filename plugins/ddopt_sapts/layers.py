"""SAPTS_P: the parameters are decomposed by layers, every subdomain sees all samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ddopt.component import Chosen, Settings
from ddopt.decomposition.layers import Layers
from ddopt.strategy import Strategy
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    from ddopt.engine import Parts


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
        None, description="explicit groups of parameter name patterns"
    )


def assemble_layers(options: Any, solver: Settings) -> Parts:
    """The parts of a layer-wise strategy."""
    decomposition = Layers(
        subdomains=options.subdomains, grouping=options.grouping, patterns=options.patterns
    )
    return assemble(options, decomposition, solver, consistency=False)


class SaptsP(Strategy):
    """Layer-wise SAPTS: disjoint groups of layers, the others held; consistency is automatic."""

    name = "sapts_p"

    class Config(LayerSettings):
        """Options of the layer decomposition."""

    def parts(self, solver: Settings) -> Parts:
        """Groups of layers, the sum of their steps, one global step."""
        return assemble_layers(self.config, solver)


class NAPTS(Strategy):
    """Non-monotone layer-wise APTS: coarse-space directions, judged against a window of values.

    Source: arXiv 2605.14860. The coarse space holds the local steps, the gradient and the last
    step; a problem must multiply with its Hessian for it. The loss may rise for a while, never
    above the largest of the last values in the window.
    """

    name = "napts"

    class Config(LayerSettings):
        """The non-monotone choices."""

        recombination: Annotated[Settings, Chosen("recombination")] = Field(
            "coarse", validate_default=True, description="how the local steps make one step"
        )
        acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
            "window", validate_default=True, description="whether the recombined step is taken"
        )

    def parts(self, solver: Settings) -> Parts:
        """Groups of layers, the coarse minimiser over their steps, a window, one global step."""
        return assemble_layers(self.config, solver)

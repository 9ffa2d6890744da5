"""SAPTS_P: the parameters are decomposed by layers, every subdomain sees all samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ddopt.component import Chosen, Settings
from ddopt.decomposition.layers import Layers
from ddopt.strategy import Strategy
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    from ddopt.engine import Parts


class SaptsP(Strategy):
    """Layer-wise SAPTS: disjoint groups of layers, the others held; consistency is automatic."""

    name = "sapts_p"

    class Config(PreconditionedSettings):
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

    def parts(self, solver: Settings) -> Parts:
        """Groups of layers, the sum of their steps, one global step."""
        options = self.config
        decomposition = Layers(
            subdomains=options.subdomains, grouping=options.grouping, patterns=options.patterns
        )
        return assemble(options, decomposition, solver, consistency=False)

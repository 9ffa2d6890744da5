"""SAPTS_D: the samples are decomposed, every subdomain moves all parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ddopt.component import Chosen, Settings
from ddopt.decomposition.data import Data
from ddopt.strategy import Strategy
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    from ddopt.engine import Parts


class SaptsD(Strategy):
    """Data-parallel SAPTS (arXiv 2502.05133, Algorithm 1).

    The defaults are those that need the fewest synchronisations (docs/design/decomposition.md); the
    method exactly as published is ``apts``.
    """

    name = "sapts_d"

    class Config(PreconditionedSettings):
        """Options of the data decomposition."""

        subdomains: int = Field(2, ge=1, description="number of subdomains N")
        overlap: float = Field(
            0.0, ge=0.0, le=1.0, description="fraction of D added to each subdomain's part"
        )
        consistency: bool = Field(
            True, description="first-order consistent local objectives (equations 3 and 4)"
        )

    def parts(self, solver: Settings) -> Parts:
        """Parts of the samples, means of the steps, one global step."""
        options = self.config
        decomposition = Data(subdomains=options.subdomains, overlap=options.overlap)
        return assemble(options, decomposition, solver, consistency=options.consistency)


class APTS(Strategy):
    """Deterministic data-parallel APTS as published: sum of the steps, Δ/N for each subdomain."""

    name = "apts"

    class Config(SaptsD.Config):
        """The published choices."""

        recombination: Annotated[Settings, Chosen("recombination")] = Field(
            "sum", validate_default=True, description="how the local steps make one step"
        )

    parts = SaptsD.parts

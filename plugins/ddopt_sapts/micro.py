"""SAPTS_M: long local walks on micro-batches, averaged and judged on samples set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ddopt.method.strategy import Strategy
from ddopt.setup.component import Chosen, Settings
from ddopt_sapts.data import DataSettings, assemble_data

if TYPE_CHECKING:
    from ddopt.method.parts import Parts


class SaptsM(Strategy):
    """Data-parallel SAPTS for large sets of samples: one pass of micro-batches per iteration.

    Each subdomain walks through its own part of D once, a micro-batch at a time, without
    communication; the mean of the ends is taken or refused by f on a twentieth of D that no walk
    has seen. One set of defaults for images and text (docs/design/minibatch.md).
    """

    name = "sapts_m"
    look = 5

    class Config(DataSettings):
        """The choices for mini-batches."""

        subdomains: int = Field(1, ge=1, description="number of subdomains N")
        overlap: float | None = Field(
            0.0, ge=0.0, le=1.0, description="fraction of D added to each subdomain's 1/N"
        )
        local_iterations: int = Field(
            1, ge=1, description="local passes between two synchronisations"
        )
        local_solver: Annotated[Settings, Chosen("solver")] | None = Field(
            "prodigy", validate_default=True, description="solver of the subdomains"
        )
        acceptance: Annotated[Settings, Chosen("acceptance")] = Field(
            "window", validate_default=True, description="whether the recombined step is taken"
        )
        judged: float = Field(
            0.05, ge=0.0, lt=1.0, description="fraction of D set aside on which f is compared"
        )
        global_iterations: int = Field(
            0, ge=0, description="iterations of the global pass after each recombined step"
        )

    def parts(self, solver: Settings) -> Parts:
        """Parts of the samples, the mean of the ends of their walks."""
        return assemble_data(self.config, solver)

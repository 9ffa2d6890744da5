"""SAPTS over any decomposition: the one that a run file names, from whatever plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ddopt.method.strategy import Strategy
from ddopt.setup.component import Chosen, Settings
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    from ddopt.method.parts import Parts


class Sapts(Strategy):
    """SAPTS over a decomposition of your choice: ``decomposition = {name = "mine", ...}``."""

    name = "sapts"
    look = 13

    class Config(PreconditionedSettings):
        """Options of every preconditioned strategy, and the decomposition."""

        decomposition: Annotated[Settings, Chosen("decomposition")] = Field(
            description="how the problem is cut into subdomains"
        )
        consistency: bool = Field(
            True, description="first-order consistent local objectives, where samples are cut"
        )

    @property
    def subdomains(self) -> int:
        """The decomposition's own number, where it has one."""
        return int(getattr(self.config.decomposition, "subdomains", 1))

    def parts(self, solver: Settings) -> Parts:
        """Whatever decomposition, the means or sums of the steps, one global step."""
        options = self.config
        decomposition = options.decomposition.build()
        return assemble(options, decomposition, solver, consistency=options.consistency)

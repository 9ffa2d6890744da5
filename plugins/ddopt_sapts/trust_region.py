"""The undecomposed trust region, its evaluations shared out: the rival of every decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ddopt.method.parts import GlobalPass, Parts
from ddopt.method.strategy import Strategy
from ddopt.setup.component import Settings
from ddopt_sapts.preconditioned import MemoryPieces

if TYPE_CHECKING:
    from ddopt.solver import Solver


class TrustRegion(Strategy):
    """The run's solver on f(·; D) itself; one iteration is one synchronisation.

    ``subdomains`` is the number of shares in which f and its gradient are evaluated, in parallel on
    as many processes: the data-parallel trust region.
    """

    name = "trust_region"
    look = 0
    curvature = "quasi_newton"

    class Config(Settings):
        """Options of the plain method."""

        subdomains: int = Field(1, ge=1, description="shares N of every evaluation")
        memory_pieces: MemoryPieces = 1

    def parts(self, solver: Settings) -> Parts:
        """No decomposition: the global pass alone."""
        built: Solver = solver.build()  # type: ignore[assignment]
        return Parts(None, GlobalPass(built, 1, self.config.memory_pieces))

"""The method for problems on patches: Gauss-Newton steps on all of them at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.method.parts import GlobalPass, Parts
from ddopt.method.strategy import Strategy
from ddopt.setup.component import Settings, chosen
from ddopt.solver.trust_region import TrustRegion

if TYPE_CHECKING:
    from ddopt.solver import Solver

CURVATURE = "block_gauss_newton"


class OnPatches(Strategy):
    """A trust region with ``block_gauss_newton``, whole steps first, and three of them free.

    What the run's solver says of its own counts: its curvature, its acceptance, its first radius.
    """

    name = "patches"
    look = 14
    curvature = CURVATURE

    def settled(self, solver: Settings) -> Settings:
        """The solver's options, with the acceptance and the first radius that suit it."""
        solver = super().settled(solver)
        if not isinstance(solver, TrustRegion.Config):
            return solver
        changes: dict[str, Any] = {}
        if "acceptance" not in solver.model_fields_set:
            changes["acceptance"] = chosen("acceptance", "free_start")
        if "first_radius" not in solver.model_fields_set:
            changes["first_radius"] = math.inf
        return solver.model_copy(update=changes)

    def parts(self, solver: Settings) -> Parts:
        """No decomposition of the iteration: the model is what is decomposed."""
        built: Solver = solver.build()  # type: ignore[assignment]
        return Parts(None, GlobalPass(built))


class OnRegions(OnPatches):
    """The same on regions of the domain, each evaluated and solved on a process of its own.

    ``subdomains`` is the number of regions; the numbers do not depend on that of the processes.
    """

    name = "schwarz"
    look = 15
    curvature = "schwarz"

    class Config(Settings):
        """How the domain is cut."""

        subdomains: int = Field(2, ge=1, description="regions: boxes of cells")

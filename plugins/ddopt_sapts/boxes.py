"""SAPTS_PINN: the domain is decomposed in boxes, every subdomain moves all parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ddopt.component import Settings
from ddopt.decomposition.boxes import Boxes, BoxSettings
from ddopt.strategy import Strategy
from ddopt_sapts.data import SaptsD
from ddopt_sapts.preconditioned import assemble

if TYPE_CHECKING:
    from ddopt.engine import Parts


class SaptsPINN(Strategy):
    """SAPTS over space (and time): overlapping boxes of collocation points, and the best end.

    Everything but the cut is as in ``sapts_d``. For any problem that says where its samples lie.
    """

    name = "sapts_pinn"

    class Config(BoxSettings, SaptsD.Config):
        """Options of the boxes and of the data-parallel strategy."""

        overlap: float = Field(
            0.5,
            ge=0.0,
            description="how far a box reaches beyond its faces, as a fraction of its width",
        )

    def parts(self, solver: Settings) -> Parts:
        """Boxes of points, and the best of the points that their solvers reach."""
        options = self.config
        decomposition = Boxes(**{key: getattr(options, key) for key in BoxSettings.model_fields})
        return assemble(options, decomposition, solver, consistency=options.consistency)

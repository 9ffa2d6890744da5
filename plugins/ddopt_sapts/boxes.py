"""SAPTS_PINN: the domain is decomposed in boxes, every subdomain moves all parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ddopt.decomposition.boxes import Boxes, BoxSettings
from ddopt.method.strategy import Strategy
from ddopt.setup.component import Settings
from ddopt_sapts.preconditioned import PreconditionedSettings, assemble

if TYPE_CHECKING:
    from ddopt.method.parts import Parts


class SaptsPINN(Strategy):
    """SAPTS over space (and time): overlapping boxes of points, the mean of their steps.

    The best end, as in ``sapts_d``, does not pay here: what is best for one box is bad for the
    others (docs/design/boxes.md). For any problem that says where its samples lie.
    """

    name = "sapts_pinn"
    look = 2

    class Config(BoxSettings, PreconditionedSettings):
        """Options of the boxes and of every preconditioned strategy."""

        consistency: bool = Field(True, description="first-order consistent local objectives")
        overlap: float = Field(
            0.25,
            ge=0.0,
            description="how far a box reaches beyond its faces, as a fraction of its width",
        )

    def parts(self, solver: Settings) -> Parts:
        """Boxes of points, the mean of their steps, one global step."""
        options = self.config
        decomposition = Boxes(**{key: getattr(options, key) for key in BoxSettings.model_fields})
        return assemble(options, decomposition, solver, consistency=options.consistency)

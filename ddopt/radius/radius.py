"""Radius rules: how the trust-region radius follows the quality of the steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.radius.trial import Trial


class RadiusRule(Component):
    """Gives the next radius from the last trial."""

    seam = "radius"

    @abstractmethod
    def update(self, trial: Trial) -> float:
        """The radius after ``trial``."""

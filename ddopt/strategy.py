"""Strategies: named methods. A strategy only chooses parts; the loop is the engine's."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ddopt.component import Component

if TYPE_CHECKING:
    from ddopt.component import Settings
    from ddopt.engine import Parts


class Strategy(Component):
    """A method: which decomposition, which recombination, which acceptance, which global pass."""

    seam = "strategy"

    @property
    def subdomains(self) -> int:
        """N, over which evaluations of f(·; D) are shared out as well."""
        return int(getattr(self.config, "subdomains", 1))

    @abstractmethod
    def parts(self, solver: Settings) -> Parts:
        """The parts of the method; ``solver`` are the options of its local and global solvers."""

"""Baselines: the optimizers that people use today, driven to the end of a budget."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


class Baseline(Component):
    """An optimizer to compare with; a plugin registers one as it registers any component."""

    seam = "baseline"

    look: ClassVar[int | None] = None  # its place in the palette of figures; by its name if None
    tuned: ClassVar[bool] = False  # it has an option ``rate``, and gets the best of several
    mini: ClassVar[bool] = False  # it sees the mini-batches of the run, otherwise all samples

    def check(self) -> None:
        """Import what it needs; asked for before anything runs, and before the clock does.

        Raises ``ModuleNotFoundError``, with the command that installs it, where that is missing.
        """

    @abstractmethod
    def minimise(self, f: Objective) -> str:
        """Start from ``f.start`` and go on until ``f`` raises ``Spent``.

        Returns the reason if it ends by itself. Every new iterate is told to ``f.iterate``; a step
        that has none to tell ends with ``f.skip``.
        """

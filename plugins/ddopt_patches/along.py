"""Nodes along one axis: equidistant, graded towards a place, or given."""

from __future__ import annotations

import math

import torch
from pydantic import Field

from ddopt.setup.component import Settings


class Along(Settings):
    """Where the nodes of an axis are."""

    cells: int = Field(8, ge=1, description="number of cells")
    toward: float | None = Field(None, description="where cells are to be small, if anywhere")
    strength: float = Field(
        3.0, gt=0.0, description="of the grading: the smallest cells are about 2a/(e^a) as wide"
    )
    nodes: list[float] | None = Field(
        None, description="the nodes themselves instead; the first and the last are the ends"
    )

    def between(self, lower: float, upper: float) -> torch.Tensor:
        """The nodes from ``lower`` to ``upper``.

        Graded ones are sinh a s of equidistant s about the place, so that one is there where s is
        zero.
        """
        if self.nodes is not None:
            return torch.tensor(self.nodes, dtype=torch.float64)
        if self.toward is None:
            return torch.linspace(lower, upper, self.cells + 1, dtype=torch.float64)
        a, longest = self.strength, max(upper - self.toward, self.toward - lower)
        ends = [
            math.asinh((end - self.toward) / longest * math.sinh(a)) / a for end in (lower, upper)
        ]
        s = torch.linspace(ends[0], ends[1], self.cells + 1, dtype=torch.float64)
        found = self.toward + longest * torch.sinh(a * s) / math.sinh(a)
        found[0], found[-1] = lower, upper
        return found

"""What there is to choose about patches, in a run file and in a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field, field_validator

from ddopt.setup.component import Settings
from ddopt_patches.along import Along
from ddopt_patches.grid import Grid
from ddopt_patches.network import Patches
from ddopt_patches.whole import GridAndWhole

CELLS = {1: 8, 2: 8}  # along each axis where nothing is said,
FEW = 4  # and in more dimensions


class PatchSettings(Settings):
    """The grid and the hidden layers."""

    along: list[Along] = Field(
        [],
        description="the nodes along each axis, [{cells = 8}, {cells = 26, toward = 0.0}]; by "
        "default 8 equal cells, 4 in three dimensions",
    )
    features: int = Field(64, ge=1, description="random features of a patch, K")
    scale: float = Field(1.0, gt=0.0, description="weights of the features are within this")
    train_hidden: bool = Field(
        False, description="the hidden layers move, too: small networks, not random features"
    )
    coarse: bool = Field(
        False, description="one more network over the whole domain, as wide as that of a patch"
    )
    window: str = Field("c3", description="partition of unity: c1, c2, c3 or c4")

    @field_validator("along", mode="before")
    @classmethod
    def _counts(cls, along: Any) -> Any:
        """A number stands for so many equal cells."""
        if not isinstance(along, (list, tuple)):
            return along
        return [{"cells": one} if isinstance(one, int) else one for one in along]

    def nodes(self, bounds: Sequence[Sequence[float]]) -> list[torch.Tensor]:
        """The nodes along each axis of a box (d, 2).

        Raises ``ValueError`` where ``along`` has another number of axes.
        """
        default = Along(cells=CELLS.get(len(bounds), FEW))
        along = self.along or [default] * len(bounds)
        if len(along) != len(bounds):
            raise ValueError(
                f"along says where the nodes of {len(along)} axes are, and the domain has "
                f"{len(bounds)}, time included: give one for each"
            )
        return [one.between(float(a), float(b)) for one, (a, b) in zip(along, bounds, strict=True)]

    def on(
        self, nodes: Sequence[torch.Tensor], outputs: int, periodic: Sequence[int] | int, seed: int
    ) -> Patches:
        """The patches on these nodes."""
        kind = GridAndWhole if self.coarse else Grid
        grid = kind(nodes, periodic, self.window)
        found = Patches.random(grid, self.features, outputs, self.scale, seed)
        return replace(found, moving=self.train_hidden)

    def patches(
        self,
        bounds: Sequence[Sequence[float]],
        outputs: int,
        periodic: Sequence[int] | int,
        seed: int,
    ) -> Patches:
        """The patches of a box (d, 2).

        Raises ``ValueError`` where ``along`` has another number of axes.
        """
        return self.on(self.nodes(bounds), outputs, periodic, seed)

"""Tiles: a few patches along each axis that a region solves together, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt_patches.tridiagonal import Tridiagonal


@dataclass(frozen=True)
class Tile:
    """Some patches of a region, those around them, and the factor of their part of JᵀJ."""

    own: torch.Tensor  # places in the region of the patches that no other tile of it owns
    patches: torch.Tensor  # of these and those around them
    factor: Tridiagonal


def tiles(position: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Patches, at ``position`` (s, d) on the grid, in boxes of about ``size`` along each axis."""
    number = torch.zeros(len(position), dtype=torch.long)
    for along in position.T:
        first, extent = int(along.min()), int(along.max() - along.min()) + 1
        count = max(1, round(extent / size))
        number = number * count + (along - first) * count // extent
    return [(number == one).nonzero().flatten() for one in number.unique().tolist()]

"""The seam for coarse spaces: which few directions of each patch are solved for all patches at
once.

Tiles cannot move what all patches have in common; the coarse problem of ``schwarz`` can. A coarse
space says, patch by patch, which directions it holds. Registered as any component is, one from a
third party is chosen by ``hessian = {name = "schwarz", coarse = {name = ".."}}``.

Source: Toselli and Widlund, Domain Decomposition Methods (2005), chapter 3.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ddopt.setup.component import Component

if TYPE_CHECKING:
    import torch

    from ddopt_patches.network import Patches
    from ddopt_patches.tiles import Tile


@dataclass(frozen=True)
class Local:
    """What a region knows when its coarse vectors are made; s patches of B unknowns.

    The rows of J are those in the orthonormal bases of the patches.
    """

    patches: Patches  # of the whole domain
    places: torch.Tensor  # (s,): the patches that the region sees, by their numbers in the grid
    basis: torch.Tensor  # (s, B, B): from orthonormal coordinates to output weights
    kept: torch.Tensor  # (s, B), bool: the others are dropped, and must stay zero
    tiles: Sequence[Tile]  # groups of patches, by their places in the region, with their factors
    seed: int  # of the region, for whatever is drawn


class CoarseSpace(Component):
    """Which directions of each patch the coarse problem holds."""

    seam: ClassVar[str] = "coarse_space"

    @abstractmethod
    def vectors(self, local: Local) -> torch.Tensor:
        """p orthonormal vectors for each patch of a region, in orthonormal coordinates, (s, B, p).

        Called once for each region and Jacobian, with the same p everywhere. Of a patch that
        several regions see the vectors of one are taken.
        """

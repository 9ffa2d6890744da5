"""A spectral coarse space: the slow modes of each tile.

Where JᵀJ of a tile is small, its solves amplify: those directions reach beyond the tile, and
conjugate gradients need many iterations for them. Inverse iteration on a block of vectors,

    V <- orth(A_τ⁻¹ V),

finds the directions of smallest energy ‖J v‖ of a tile τ with its factor alone. Each of the tile's
own patches contributes what it has of them. No polynomials are asked for, so the space follows the
equation: waves, jumping coefficients, systems.

Source: spectral coarse spaces: Spillane, Dolean, Hauret, Nataf, Pechstein and Scheichl, Numerische
Mathematik 126 (2014); block inverse iteration: Golub and Van Loan, Matrix Computations, 8.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.numerics.randomness import generator
from ddopt.setup.component import Settings
from ddopt_patches.coarse_space import CoarseSpace

if TYPE_CHECKING:
    from ddopt_patches.coarse_space import Local
    from ddopt_patches.tiles import Tile


class Spectral(CoarseSpace):
    """The modes of smallest energy of each tile, cut into its patches."""

    name = "spectral"

    class Config(Settings):
        """How many, and how exactly."""

        modes: int = Field(6, ge=1, description="of a tile; coarse unknowns of a patch")
        sweeps: int = Field(4, ge=1, description="inverse iterations from random vectors")

    def vectors(self, local: Local) -> torch.Tensor:
        """The modes of every tile on its own patches, orthonormal on each."""
        s, B = local.basis.shape[:2]
        p = min(self.config.modes, B)
        found = local.basis.new_zeros(s, B, p)
        for number, tile in enumerate(local.tiles):
            chance = generator(local.seed, "patches", "spectral", number)
            start = torch.randn(s, B, p, generator=chance, dtype=torch.float64)
            V = self._slow(tile, start * local.kept[..., None])
            found[tile.own] = V[tile.own]
        Q, _ = torch.linalg.qr(found)
        return Q * local.kept[..., None]

    def _slow(self, tile: Tile, V: torch.Tensor) -> torch.Tensor:
        """The slow modes of a tile, (s, B, p); zero outside of it."""
        for _ in range(self.config.sweeps):
            columns = [tile.factor.solve(one) for one in V.unbind(-1)]
            V = torch.stack(columns, -1)
            inside, _ = torch.linalg.qr(V[tile.patches].flatten(0, 1))
            V = torch.zeros_like(V)
            V[tile.patches] = inside.view(len(tile.patches), *V.shape[1:])
        return V

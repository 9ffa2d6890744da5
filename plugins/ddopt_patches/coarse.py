"""The polynomial coarse space: on each patch what combines to polynomials of a low degree.

Local solves cannot move what all patches have in common. The coarse space holds, patch by patch,
the best local fits of the monomials up to a degree; blended by the windows they make smooth
functions over the whole domain, and the coarse problem finds the best of them.

Source: two-level Schwarz methods: Toselli and Widlund, Domain Decomposition Methods (2005), chapter
3; Dohrmann and Widlund (2010) for coarse spaces from partitions of unity.

Legend: S patches, B unknowns of a patch, p coarse vectors of a patch.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt.setup.component import Settings
from ddopt_patches.block import Block, Gram
from ddopt_patches.coarse_space import CoarseSpace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddopt_patches.coarse_space import Local
    from ddopt_patches.network import Patches

POINTS = 15  # along an axis, in two dimensions; fewer in three


class Polynomials(CoarseSpace):
    """On each patch the best local fits of the monomials up to a degree."""

    name = "polynomials"

    class Config(Settings):
        """Which ones."""

        degree: int = Field(2, ge=0, description="of the polynomials")

    def vectors(self, local: Local) -> torch.Tensor:
        """The fits, orthonormal; p is the number of outputs times that of the monomials."""
        return polynomials(local.patches, local.places, local.basis, self.config.degree)


def polynomials(
    patches: Patches, some: torch.Tensor, basis: torch.Tensor, degree: int
) -> torch.Tensor:
    """The coarse vectors of ``some`` patches, orthonormal, (s, B, p), in the coordinates of
    ``basis`` (s, B, B); p is the number of outputs times that of the monomials.
    """
    d, K = patches.grid.dimensions, patches.features
    count = POINTS if d < 3 else 7
    along = torch.linspace(-1.0, 1.0, count, dtype=torch.float64)
    t = torch.cartesian_prod(*[along] * d).view(-1, d)
    powers = [e for e in product(range(degree + 1), repeat=d) if sum(e) <= degree]
    wanted = torch.stack([(t ** torch.tensor(e)).prod(1) for e in powers], 1)  # (P, monomials)
    phi = torch.tanh(t @ patches.W[some].mT + patches.b[some][:, None])  # (s, P, K)
    found = []
    for output in range(patches.outputs):
        values = phi @ basis[:, output * K : (output + 1) * K]  # of each basis vector
        others = [
            phi @ basis[:, o * K : (o + 1) * K] for o in range(patches.outputs) if o != output
        ]
        tall = torch.cat([values, *others], 1) if others else values
        target = torch.cat([wanted, *[torch.zeros_like(wanted)] * len(others)])
        found.append(_fitted(tall, target))
    Q, _ = torch.linalg.qr(torch.cat(found, 2))
    return Q


def _fitted(values: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The least-squares combinations of columns (s, P, B) for ``target`` (P, p): (s, B, p)."""
    U, singular, V = torch.linalg.svd(values, full_matrices=False)
    kept = singular > 1e-10 * singular[:, :1]
    inverse = torch.where(kept, 1.0 / singular.clamp_min(1e-300), torch.zeros_like(singular))
    return V.mT @ (inverse[..., None] * (U.mT @ target))


def squared(blocks: Sequence[Block], vectors: torch.Tensor) -> list[Gram]:
    """Zᵀ JᵀJ Z by cells, from the rows of J and the coarse vectors of their patches (s, B, p)."""
    found = []
    for block in blocks:
        J = block.by_corner @ vectors[block.patches]  # (G, C, rows, p)
        G, C, rows, p = J.shape
        flat = J.transpose(1, 2).reshape(G, rows, C * p)
        products = (flat.mT @ flat).view(G, C, p, C, p).transpose(2, 3)
        found.append(Gram(block.patches, products.contiguous()))
    return found

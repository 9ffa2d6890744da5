"""Rows of a Jacobian by cells, and what stands for them where they are elsewhere.

Legend: G cells of P points, C corners, E equations.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Block:
    """Rows of a Jacobian that belong to cells: which patches they touch, and their entries.

    The entries of one corner lie together: ``by_corner`` is how they are stored.
    """

    patches: torch.Tensor  # (G, C), distinct within a row
    by_corner: torch.Tensor  # (G, C, P E, B): B unknowns of a patch, output by output

    @property
    def entries(self) -> torch.Tensor:
        """The same, row by row, (G, P E, C, B); a view."""
        return self.by_corner.transpose(1, 2)

    def among(self, cells: torch.Tensor | slice) -> Block:
        """The rows of some of the cells; views for a slice."""
        return Block(self.patches[cells], self.by_corner[cells])

    def product(self, a: int, b: int) -> torch.Tensor:
        """J_aᵀ J_b of two corners of each cell, (G, B, B)."""
        return self.by_corner[:, a].mT @ self.by_corner[:, b]


@dataclass(frozen=True)
class Gram:
    """JᵀJ of rows that are elsewhere, by cells; in a factorisation it stands for them."""

    patches: torch.Tensor  # (G, C), distinct within a row
    products: torch.Tensor  # (G, C, C, B, B)

    def among(self, cells: torch.Tensor | slice) -> Gram:
        """That of some of the cells."""
        return Gram(self.patches[cells], self.products[cells])

    def product(self, a: int, b: int) -> torch.Tensor:
        """J_aᵀ J_b of two corners of each cell, (G, B, B)."""
        return self.products[:, a, b]

"""The step of Gauss-Newton on patches: minimise ‖J d + r‖² for a block-sparse J.

1. An orthonormal basis for each patch (``orthonormal``). 2. The block-tridiagonal Cholesky factor
of the normal equations (``tridiagonal``), bordered where a patch covers everything (``arrow``). 3.
Conjugate gradients on J itself, preconditioned by the factor, which give back most of the digits
that squaring J has cost.

Legend: S patches of B unknowns, m rows; vectors have the shape (S, B).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddopt_patches.arrow import Arrow
from ddopt_patches.block import Block
from ddopt_patches.orthonormal import basis, triangles
from ddopt_patches.tridiagonal import Tridiagonal

DROP = 1e-12  # of the largest singular value of a patch
RIDGE = 1e-14
REFINEMENTS = 6
ENOUGH = 1e-30  # of the first residual's square, in the norm of the factor


class LeastSquares:
    """A Jacobian, factorised; ``solve`` as often as wanted.

    Args:
        blocks: the rows of J by cells. Their entries are taken over: they are changed in place.
        levels: the patches that move, level by level, see ``levels``.
        patches: S; those in no level that have entries border the others.
        damping: λ of ‖J d + r‖² + λ ‖y‖², in the orthonormal basis; zero: none.
    """

    told = True  # every unknown changes some residual

    def __init__(
        self,
        blocks: Sequence[Block],
        levels: Sequence[torch.Tensor],
        patches: int,
        drop: float = DROP,
        damping: float = 0.0,
    ) -> None:
        self.blocks = list(blocks)
        found = triangles(self.blocks, patches)
        if not bool(torch.isfinite(found).all()):
            raise ValueError(
                "the Jacobian of the residuals holds numbers that are not finite; look for "
                "divisions by zero, roots and logarithms in the equation and its conditions"
            )
        self.basis, kept = basis(found, drop)
        self.kept = int(kept.sum())
        for block in self.blocks:
            for k in range(block.patches.shape[1]):
                T = self.basis[block.patches[:, k]]
                block.by_corner[:, k] = block.by_corner[:, k] @ T
        self._dropped = (~kept).to(self.basis) + damping
        border = found.flatten(1).any(1)
        border[torch.cat(list(levels))] = False
        self.factor: Tridiagonal | Arrow = (
            Arrow(self.blocks, levels, border.nonzero().flatten(), self._dropped, RIDGE)
            if bool(border.any())
            else Tridiagonal(self.blocks, levels, self._dropped, RIDGE)
        )

    def product(self, y: torch.Tensor) -> list[torch.Tensor]:
        """J y in the orthonormal basis, group by group (G, rows)."""
        return [
            (block.by_corner @ y[block.patches][..., None]).sum(1).squeeze(-1)
            for block in self.blocks
        ]

    def pulled(self, residuals: Sequence[torch.Tensor]) -> torch.Tensor:
        """Jᵀ r in the orthonormal basis, (S, B)."""
        total = self._dropped.new_zeros(self._dropped.shape)
        for block, r in zip(self.blocks, residuals, strict=True):
            parts = (block.by_corner.mT @ r[:, None, :, None]).squeeze(-1)
            total.index_add_(0, block.patches.flatten(), parts.flatten(0, 1))
        return total

    def solve(
        self, residuals: Sequence[torch.Tensor], refinements: int = REFINEMENTS
    ) -> torch.Tensor:
        """The minimiser d, in the features' own coordinates, (S, B)."""
        return self.from_basis(self.solve_in_basis(residuals, refinements))

    def from_basis(self, y: torch.Tensor) -> torch.Tensor:
        """T y: from the orthonormal basis to the features' coordinates."""
        return (self.basis @ y[..., None]).squeeze(-1)

    def solve_in_basis(self, residuals: Sequence[torch.Tensor], refinements: int) -> torch.Tensor:
        """Preconditioned CGLS from zero; Björck, Numerical Methods for Least Squares, 7.4."""
        y = torch.zeros_like(self._dropped)
        left = [-r for r in residuals]
        slope = self.pulled(left)
        direction = z = self.factor.solve(slope)
        first = gain = float((slope * z).sum())
        for _ in range(refinements):
            along = self.product(direction)
            curvature = sum(float((q * q).sum()) for q in along)
            curvature += float((self._dropped * direction * direction).sum())
            if not curvature > 0.0:
                break
            alpha = gain / curvature
            y = y + alpha * direction
            left = [r - alpha * q for r, q in zip(left, along, strict=True)]
            slope = self.pulled(left) - self._dropped * y
            z = self.factor.solve(slope)
            fresh = float((slope * z).sum())
            if not fresh > ENOUGH * first:
                break
            direction = z + (fresh / gain) * direction
            gain = fresh
        return y

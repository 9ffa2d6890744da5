"""The factor of normal equations that are block-tridiagonal but for a few patches that touch
everything.

    A = | T   E |      Z = T⁻¹ E,   C = D − Eᵀ Z,   A⁻¹ b:  c = C⁺ (b_2 − Zᵀ b_1),
        | Eᵀ  D |                                          y = T⁻¹ b_1 − Z c

(Golub and Van Loan, Matrix Computations, 3.2: block elimination.) What patches can represent as
well as the border does is left to them: C is 1 − cos² of the angles between both, and below
``SMALLEST`` it is rounding. Its pseudo-inverse leaves these directions where they are.

Work beside T's: a solve for each unknown of the border.

Legend: S patches of B unknowns, k unknowns of the border.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddopt_patches.block import Block
from ddopt_patches.tridiagonal import Tridiagonal

SMALLEST = 1e-10  # of what is left of columns of length one


class Arrow:
    """Factorises at once, and solves as often as asked.

    Args:
        blocks: the rows of J by cells, in a basis with columns of length about one.
        levels: the patches that are not in the border, see ``Tridiagonal``.
        border: the patches that may touch every cell.
        damping: what is added to the diagonal, shape (S, B).
        ridge: a multiple of the identity in addition, see ``Tridiagonal``.

    Raises ``ValueError`` where T is singular.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        levels: Sequence[torch.Tensor],
        border: torch.Tensor,
        damping: torch.Tensor,
        ridge: float,
    ) -> None:
        self.border = border
        self._inner = Tridiagonal(blocks, levels, damping, ridge)
        S, B = damping.shape
        place = torch.full((S,), -1)
        place[border] = torch.arange(len(border))
        E = damping.new_zeros(S, len(border), B, B)
        for block in blocks:
            where = place[block.patches]  # (G, C)
            for a in range(where.shape[1]):
                here = (where[:, a] >= 0).nonzero().flatten()
                some, column = block.among(here), where[here, a]
                for b in range(where.shape[1]):
                    spot = some.patches[:, b] * len(border) + column
                    part = some.product(b, a)
                    E.flatten(0, 1).index_add_(0, spot, part)
        E = E.transpose(1, 2).flatten(2)
        D = E[border].flatten(0, 1).clone()
        D.diagonal().add_(damping[border].flatten())
        E[border] = 0.0
        columns = [self._inner.solve(one) for one in E.unbind(2)]
        self._Z = torch.stack(columns, -1)  # (S, B, k)
        values, vectors = torch.linalg.eigh(D - torch.einsum("sbi,sbj->ij", E, self._Z))
        kept = values > SMALLEST
        self._inverse = vectors[:, kept] / values[kept].sqrt()  # of C⁺, a root

    def solve(self, b: torch.Tensor) -> torch.Tensor:
        """A⁻¹ b, shape (S, B); zero in patches that neither levels nor border hold."""
        y = self._inner.solve(b)
        wanted = b[self.border].flatten() - torch.einsum("sbi,sb->i", self._Z, b)
        c = self._inverse @ (self._inverse.T @ wanted)
        y = y - self._Z @ c
        y[self.border] = c.view(len(self.border), -1)
        return y

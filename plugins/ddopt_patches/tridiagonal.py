"""The Cholesky factor of block-tridiagonal normal equations JᵀJ + diag(damping), level by level.

    D_i − X_(i−1) X_(i−1)ᵀ = L_i L_iᵀ,     X_i = O_i L_i⁻ᵀ

Levels of s patches with B unknowns each make blocks of m = sB. Work: about (7/3) m³ for each level.
Memory: 2 m² numbers for each level, and no more than two levels of JᵀJ at any time: its cells are
summed when their level comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch

from ddopt_patches.block import Block, Gram

LARGEST_RIDGE = 1e-2  # of columns of length one; more would be another problem


class Tridiagonal:
    """Factorises at once, and solves as often as asked.

    Args:
        blocks: the rows of J by cells, or their JᵀJ, in a basis with columns of length about one.
        levels: the patches of each level; every cell touches one level, or two neighbouring ones.
        damping: what is added to the diagonal, shape (S, B).
        ridge: a multiple of the identity in addition; raised tenfold until the factor exists.

    Raises ``ValueError`` for a matrix that no small ridge makes positive definite.
    """

    def __init__(
        self,
        blocks: Sequence[Block | Gram],
        levels: Sequence[torch.Tensor],
        damping: torch.Tensor,
        ridge: float,
    ) -> None:
        self.levels, self.ridge = list(levels), ridge
        self._B = damping.shape[1]
        self._level = torch.full((len(damping),), len(self.levels))  # of a patch that does not move
        self._place = torch.zeros(len(damping), dtype=torch.long)
        for number, own in enumerate(self.levels):
            self._level[own] = number
            self._place[own] = torch.arange(len(own))
        self._slabs = [self._level[block.patches].amin(1) for block in blocks]
        self._blocks = blocks
        while not self._factorised(damping):
            self.ridge *= 10.0
            if not self.ridge < LARGEST_RIDGE:
                raise ValueError(
                    "the normal equations of the patches are singular: the rows do not fix the "
                    "unknowns, or hold numbers that are not finite; give conditions on every side "
                    "that needs one, more points, or fewer features"
                )
        del self._blocks

    def _factorised(self, damping: torch.Tensor) -> bool:
        self._L: list[torch.Tensor] = []
        self._X: list[torch.Tensor] = []
        carried = self._square(0, 0, damping)
        for i in range(len(self.levels)):
            last = i == len(self.levels) - 1
            after = None if last else self._square(i + 1, i + 1, damping)
            off = None if last else self._square(i + 1, i, damping)
            self._sum(i, carried, after, off)
            M = self._matrix(carried)
            M.diagonal().add_(self._diagonal(i, damping))
            if self._X:
                M.addmm_(self._X[-1], self._X[-1].mT, alpha=-1.0)
            L, info = torch.linalg.cholesky_ex(M)
            if int(info) != 0 or not bool(torch.isfinite(L.diagonal()).all()):
                return False
            self._L.append(L)
            if after is not None and off is not None:
                O = self._matrix(off)  # noqa: E741 - the field's letter
                self._X.append(torch.linalg.solve_triangular(L, O.mT, upper=False).mT)
                carried = after
        return True

    def _square(self, i: int, j: int, like: torch.Tensor) -> torch.Tensor:
        shape = (len(self.levels[i]), len(self.levels[j]), self._B, self._B)
        return like.new_zeros(shape)

    @staticmethod
    def _matrix(blocks: torch.Tensor) -> torch.Tensor:
        s, t, B, _ = blocks.shape
        return blocks.transpose(1, 2).reshape(s * B, t * B)

    def _diagonal(self, i: int, damping: torch.Tensor) -> torch.Tensor:
        return (damping[self.levels[i]] + self.ridge).flatten()

    def _sum(
        self, i: int, own: torch.Tensor, after: torch.Tensor | None, off: torch.Tensor | None
    ) -> None:
        """Add JᵀJ of the cells between level i and the next: of the diagonal the lower triangle."""
        for block, slab in zip(self._blocks, self._slabs, strict=True):
            here = (slab == i).nonzero().flatten()
            if len(here) == 0:
                continue
            adjacent = int(here[-1] - here[0]) == len(here) - 1
            some = block.among(slice(int(here[0]), int(here[-1]) + 1) if adjacent else here)
            level, place = self._level[some.patches], self._place[some.patches]
            corners = range(some.patches.shape[1])
            for a, b in product(corners, corners):
                ordered = place[:, a] >= place[:, b]
                for target, up, left in ((own, i, i), (after, i + 1, i + 1), (off, i + 1, i)):
                    mask = (level[:, a] == up) & (level[:, b] == left)
                    if up == left:
                        mask &= ordered
                    if target is not None and bool(mask.any()):
                        chosen = some if bool(mask.all()) else some.among(mask)
                        spot = place[mask, a] * target.shape[1] + place[mask, b]
                        target.flatten(0, 1).index_add_(0, spot, chosen.product(a, b))

    def solve(self, b: torch.Tensor) -> torch.Tensor:
        """(JᵀJ + damping)⁻¹ b, shape (S, B); zero in patches that no level holds."""
        y: list[torch.Tensor] = []
        for i, own in enumerate(self.levels):
            v = b[own].reshape(-1, 1)
            if i:
                v = v - self._X[i - 1] @ y[-1]
            y.append(torch.linalg.solve_triangular(self._L[i], v, upper=False))
        x = torch.zeros_like(b)
        after = None
        for i in reversed(range(len(self.levels))):
            v = y[i] if after is None else y[i] - self._X[i].mT @ after
            after = torch.linalg.solve_triangular(self._L[i].mT, v, upper=True)
            x[self.levels[i]] = after.view(-1, self._B)
        return x

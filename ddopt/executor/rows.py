"""A Jacobian whose rows lie on several processes: each has those of its own shares.

A product is gathered, m numbers; JᵀW and JᵀJ are added up over the shares in the order that every
sum has, so that the bits do not depend on the number of processes. JᵀJ is symmetric: its triangle
travels, n(n + 1)/2 numbers. Where there are fewer residuals than parameters the rows themselves
are gathered, m n < n² numbers, and every process forms JJᵀ.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.jacobian import Gramian, gram

if TYPE_CHECKING:
    from ddopt.executor.executor import Executor


class Rows(Gramian):
    """∂r/∂θ of a problem in shares; every method is a collective.

    Args:
        blocks: the rows (m_d, n) of this process's shares d.
        sizes: m_d of all shares, in order.
        like: a vector (n,) of the Jacobian's dtype; for a process that owns nothing.
    """

    def __init__(
        self,
        blocks: dict[int, torch.Tensor],
        sizes: list[int],
        executor: Executor,
        like: torch.Tensor,
    ) -> None:
        self._blocks, self._sizes, self._executor, self._like = blocks, sizes, executor, like
        self.shape, self.dtype = (sum(sizes), len(like)), like.dtype

    def _pieces(self, vector: torch.Tensor) -> dict[int, torch.Tensor]:
        """The parts of a vector (m,) that belong to the rows of this process."""
        parts = vector.to(self.dtype).split(self._sizes)
        return {d: parts[d] for d in self._blocks}

    @property
    def block(self) -> float:
        """Those of its own share."""
        return sum(size * size for size in self._sizes) / max(self.shape[0], 1)

    @property
    def finite(self) -> bool:
        """Whether all entries of all processes are."""
        own = {d: [float(block.sum())] for d, block in self._blocks.items()}
        found = self._executor.numbers(own, len(self._sizes))
        return all(math.isfinite(number) for (number,) in found)

    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """J v, gathered."""
        v = vector.to(self.dtype)
        own = {d: block @ v for d, block in self._blocks.items()}
        return torch.cat(self._executor.each(own, self._sizes, self._like)).to(vector.dtype)

    def pullback(self, vector: torch.Tensor) -> torch.Tensor:
        """Jᵀw, added up."""
        own = {d: self._blocks[d].T @ w for d, w in self._pieces(vector).items()}
        return self._executor.sum(own, len(self._sizes), self._like).to(vector.dtype)

    def gram(self) -> torch.Tensor:
        """JJᵀ of the gathered rows, or JᵀJ added up as a triangle."""
        n = self.shape[1]
        if self.dual:
            flat = {d: block.reshape(-1) for d, block in self._blocks.items()}
            sizes = [size * n for size in self._sizes]
            rows = self._executor.each(flat, sizes, self._like)
            return gram(torch.cat(rows).view(-1, n))
        row, column = torch.tril_indices(n, n, device=self._like.device)
        own = {d: gram(block.T)[row, column] for d, block in self._blocks.items()}
        triangle = self._executor.sum(own, len(self._sizes), self._like.new_zeros(len(row)))
        found = triangle.new_empty(n, n)
        found[row, column] = triangle
        found[column, row] = triangle
        return found

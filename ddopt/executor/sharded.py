"""Inner products of vectors of which each process holds some blocks, added up in block order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.vectors import Geometry, dot

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.executor.executor import Executor


class Sharded(Geometry):
    """Vectors of ``count`` blocks; ``blocks`` says where this process's own lie in its piece.

    Each block's part is computed by itself, whoever holds it, so that the bits are the same for any
    number of processes.
    """

    sharded = True

    def __init__(self, executor: Executor, blocks: dict[int, slice], count: int) -> None:
        self._executor, self._blocks, self._count = executor, blocks, count

    def total(self, part: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """Σ over all blocks, in one collective."""
        own = {d: part(block) for d, block in self._blocks.items()}
        shape = next(iter(own.values())).shape
        rows = self._executor.numbers(
            {d: p.flatten().tolist() for d, p in own.items()}, self._count
        )
        total = torch.zeros(shape.numel(), dtype=torch.float64)
        for row in rows:
            total += torch.tensor(row, dtype=torch.float64)
        return total.view(shape)

    def dot(self, a: torch.Tensor, b: torch.Tensor) -> float:
        """<a, b>, in one collective."""
        own = {d: [dot(a[block], b[block])] for d, block in self._blocks.items()}
        return sum(value for (value,) in self._executor.numbers(own, self._count))

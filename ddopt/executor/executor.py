"""Executors: who owns which subdomain, and how what they found comes together.

N subdomains and W processes are independent: process r owns the subdomains r, r + W, r + 2W, ...
Every reduction goes through this one interface, in an order that depends on the subdomains alone,
so that the same bits come out whatever W is.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from ddopt.component import Component

if TYPE_CHECKING:
    import torch


class Executor(Component):
    """Shares the subdomains out and reduces over them."""

    seam = "executor"

    rank: int = 0
    size: int = 1
    bytes_sent: int = 0  # by this process since the start
    collectives: int = 0  # calls since the start

    def owned(self, count: int) -> range:
        """The subdomains of this process, of ``count``."""
        return range(self.rank, count, self.size)

    @abstractmethod
    def sum(self, vectors: dict[int, torch.Tensor], count: int) -> torch.Tensor:
        """The sum over ``count`` subdomains of a vector (n,) from each owner.

        Added in the fixed order of :func:`tree_sum`; the result is the same on every process.
        """

    @abstractmethod
    def each(self, vectors: dict[int, torch.Tensor], count: int) -> list[torch.Tensor]:
        """The vectors (n,) of all ``count`` subdomains, in order, on every process."""

    @abstractmethod
    def numbers(self, values: dict[int, list[float]], count: int) -> list[list[float]]:
        """The numbers of all ``count`` subdomains, in order, on every process."""


def tree_sum(vectors: dict[int, torch.Tensor], count: int, stop: int = 1) -> torch.Tensor:
    """Add vectors 0..count-1 in the order of a fixed tree: d with d + h, h = ..., 4, 2, 1.

    A process that owns every W-th subdomain, W a power of two, can do the first levels alone, down
    to h = W; that is why the tree halves strides instead of pairing neighbours.
    """
    partial = dict(vectors)
    h = 1
    while h < count:
        h *= 2
    while h > stop:
        h //= 2
        for d in sorted(d for d in partial if d >= h):
            right = partial.pop(d)
            left = partial.get(d - h)
            partial[d - h] = right if left is None else left + right
    (total,) = partial.values() if stop == 1 else (next(iter(partial.values())),)
    return total

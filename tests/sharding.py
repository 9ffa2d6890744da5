"""Vectors split in blocks: every shard runs in a thread of its own and sums at a barrier."""

import threading
from collections.abc import Callable

import torch

from ddopt.numerics.vectors import Geometry


class Reduced(Geometry):
    """Inner products of one shard, added up over the others by a function."""

    sharded = True

    def __init__(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._reduce = reduce

    def total(self, part):
        return self._reduce(part(slice(None)))


class Shards:
    """Runs one function per shard; ``reduce`` adds the blocks of all shards, in shard order."""

    def __init__(self, num: int) -> None:
        self.num = num
        self._barrier = threading.Barrier(num)
        self._blocks: list = [None] * num

    def run(self, body: Callable) -> list:
        """body(rank, reduce) on every shard; the results in shard order."""
        results: list = [None] * self.num
        errors: list[BaseException] = []

        def work(rank: int) -> None:
            try:
                results[rank] = body(rank, lambda block: self._sum(rank, block))
            except BaseException as error:
                errors.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(self.num)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results

    def _sum(self, rank: int, block: torch.Tensor) -> torch.Tensor:
        self._blocks[rank] = block
        self._barrier.wait()
        total = torch.stack(self._blocks).sum(dim=0)
        self._barrier.wait()
        return total

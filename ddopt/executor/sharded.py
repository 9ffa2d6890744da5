"""Inner products of vectors of which each process holds some blocks, added up in block order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ddopt.executor.serial import Serial
from ddopt.numerics.vectors import Geometry, dot, max_norm

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.executor.executor import Executor
    from ddopt.numerics.reading import Number


ALIGNMENT = 32  # elements: two registers of 16 floats, the step of a vectorised loop


class Sharded(Geometry):
    """Vectors of ``count`` blocks; ``owned`` says where this process's own lie in its piece.

    Each block's part is computed by itself, whoever holds it, so that the bits are the same for any
    number of processes. A block must begin at a multiple of :data:`ALIGNMENT` elements and be as
    long: the bits of vectorised loops, and of BLAS, depend on where the memory begins and ends.
    """

    sharded = True

    def __init__(
        self,
        executor: Executor,
        owned: dict[int, slice],
        count: int,
        copies: Executor | None = None,
    ) -> None:
        self._executor, self.owned, self.count = executor, owned, count
        self._copies = copies or Serial()  # the processes that hold the same pieces
        self.blocks = tuple(owned.values())

    def sharing(self, executor: Any) -> Any:
        """The processes that hold the same pieces; samples are shared out among them."""
        return self._copies

    def total(self, part: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """Σ over all blocks, in one collective."""
        own = {d: part(block) for d, block in self.owned.items()}
        shape = next(iter(own.values())).shape
        rows = self._executor.numbers({d: p.flatten().tolist() for d, p in own.items()}, self.count)
        total = torch.zeros(shape.numel(), dtype=torch.float64)
        for row in rows:
            total += torch.tensor(row, dtype=torch.float64)
        return total.view(shape)

    def dot(self, a: torch.Tensor, b: torch.Tensor) -> float:
        """<a, b>, in one collective."""
        own = {d: [dot(a[block], b[block])] for d, block in self.owned.items()}
        return sum(value for (value,) in self._executor.numbers(own, self.count))

    def dot_later(self, a: torch.Tensor, b: torch.Tensor) -> Number:
        """<a, b>; the collective is that of the call."""
        return partial(self.dot, a, b)

    def estimate(
        self, a: torch.Tensor, b: torch.Tensor, less: torch.Tensor | None = None
    ) -> Number:
        """<a, b − less>; made now, as the vectors may change, and added up when it is asked for."""
        b = b if less is None else b - less
        own = {d: [dot(a[block], b[block])] for d, block in self.owned.items()}
        return lambda: sum(value for (value,) in self._executor.numbers(own, self.count))

    def length_later(self, a: torch.Tensor, norm: str = "2") -> Number:
        """The length; the collective is that of the call."""
        return partial(self.length, a, norm)

    def finite(self, a: torch.Tensor) -> bool:
        """Whether every entry is finite, whoever holds it; in one collective."""
        own = {d: [float(a[block].isfinite().all())] for d, block in self.owned.items()}
        return all(good for (good,) in self._executor.numbers(own, self.count))

    def _largest(self, a: torch.Tensor) -> float:
        """‖a‖_∞, in one collective."""
        own = {d: [max_norm(a[block])] for d, block in self.owned.items()}
        return max(value for (value,) in self._executor.numbers(own, self.count))

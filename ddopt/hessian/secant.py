"""The memory of secant pairs: the last m pairs (s, y) and all their inner products.

A curvature model needs the vectors twice per step: one pass takes in a pair and projects the next
gradient, one combines a step. Otherwise it needs only the Gram matrices, kept here in float64
whatever the vectors' precision. What a pass costs is the conversion of float32.

Every block of inner products goes through a :class:`ddopt.numerics.vectors.Geometry`, so the
same code serves vectors sharded over ranks.

Legend: n parameters (of this shard), m capacity, k <= m stored pairs, S and Y the (k, n) matrices
whose rows are the steps s and the gradient differences y, oldest first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddopt.numerics.vectors import LOCAL, Geometry

# float64 numbers a chunk of converted vectors may hold: about half the second-level cache of a CPU
# core, and on an accelerator enough work to hide a launch.
CHUNK = {"cpu": 1 << 17, "other": 1 << 22}


class Products(NamedTuple):
    """Inner products of one vector g with the memory, float64 on the CPU, oldest pair first."""

    sg: Tensor  # (k,)  S g
    yg: Tensor  # (k,)  Y g
    gg: float  # gᵀg


def length(v: Tensor) -> Tensor:
    """‖v‖, shape (), without a copy of v; infinite or NaN where an entry is."""
    return torch.linalg.vector_norm(v, dtype=torch.float64)


class SecantPairs:
    """Ring buffer of secant pairs with incrementally kept float64 Gram matrices.

    Args:
        capacity: m, the number of pairs kept; the oldest makes room.
        geometry: sums small float64 blocks of inner products over the pieces of a vector, which may
            lie on several ranks. One reduction per ``push`` and per ``products``.
    """

    def __init__(self, capacity: int, geometry: Geometry = LOCAL) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self.geometry = geometry
        self.reset()

    def reset(self) -> None:
        """Forget all pairs and free their memory."""
        # _pairs[i] = (s_i, y_i) of slot i; _gram[i, a, j, b] = inner product of _pairs[i, a] and
        # _pairs[j, b].
        self._pairs: Tensor | None = None  # (m, 2, n)
        self._gram: Tensor | None = None  # (m, 2, m, 2), float64, CPU
        self._count = 0
        self._oldest = 0
        self._dim = 0
        self._known: tuple[Tensor, Tensor] | None = None  # a vector and its products, (2k + 1,)

    def prepare(self, like: Tensor) -> None:
        """Allocate the memory for vectors like ``like`` (n,)."""
        m = self.capacity
        self._pairs = torch.zeros(m, 2, like.numel(), dtype=like.dtype, device=like.device)
        self._gram = torch.zeros(m, 2, m, 2, dtype=torch.float64)

    def __len__(self) -> int:
        return self._count

    @property
    def dim(self) -> int:
        """Length of a whole vector, over all ranks; 0 while there are no pairs."""
        return self._dim

    @torch.no_grad()
    def push(self, s: Tensor, y: Tensor, upcoming: Tensor | None = None) -> bool:
        """Store a pair, at the price of one pass over [S Y]; a zero or non-finite one is refused.

        Args:
            s: step, shape (n,).
            y: gradient difference along it, shape (n,).
            upcoming: the vector (n,) whose products are asked for next; it shares the pass.

        Returns:
            Whether the pair was stored. The answer is the same on all ranks.
        """
        if self._pairs is None or self._gram is None:
            self.prepare(s)
        assert self._pairs is not None
        assert self._gram is not None
        full = self._count == self.capacity
        slot, count = (self._oldest if full else self._count), self._count + (not full)
        vectors = [s, y] if upcoming is None else [s, y, upcoming]
        block = self._stored(slot, vectors, count)
        if block is None:
            self._known = None
            return False
        cross = block[:2, : 2 * count].view(2, count, 2)
        self._gram[slot, :, :count, :] = cross
        self._gram[:count, :, slot, :] = cross.permute(1, 2, 0)
        self._gram[slot, 1, slot, 0] = self._gram[slot, 0, slot, 1]
        self._dim = int(block[0, -1])
        self._known = None if upcoming is None else (upcoming, block[2])
        self._count = count
        if full:
            self._oldest = (self._oldest + 1) % self.capacity
        return True

    def _stored(self, slot: int, vectors: list[Tensor], count: int) -> Tensor | None:
        """The products of the vectors with a memory that has the first two in ``slot``.

        None where that pair is useless; the memory is then as it was. It is told from the lengths,
        in the same reading as the products. Only together can ranks tell, from the products, that
        one of them has a useless piece.
        """
        assert self._pairs is not None
        pair, (s, y) = self._pairs[slot], vectors[:2]
        if self.geometry.sharded:
            before = pair.clone()
            pair[0], pair[1] = s, y
            block = self._inner(vectors, count).cpu()
            if not bool(torch.isfinite(block[:2]).all()) or float(block[0, 2 * slot]) <= 0.0:
                pair.copy_(before)
                return None
            return block
        lengths = torch.stack([length(s), length(y)])
        fit = lengths.isfinite().all() & (lengths[0] > 0.0)
        for row, vector in zip(pair, (s, y), strict=True):
            torch.where(fit, vector, row, out=row)
        block = self._inner(vectors, count)
        found = torch.cat([block.flatten(), fit.double()[None]]).cpu()
        return found[:-1].view(block.shape) if found[-1] else None

    @torch.no_grad()
    def products(self, g: Tensor) -> Products:
        """S g, Y g and gᵀg in one pass and one reduction, or for nothing after ``push``.

        Args:
            g: shape (n,); the ``upcoming`` one must not have been written to since.
        """
        if self._known is not None and self._known[0] is g:
            block = self._known[1]
        else:
            block = self._inner([g], self._count)[0].cpu()
        ordered = block[:-2].view(self._count, 2)[self._order()]
        return Products(ordered[:, 0], ordered[:, 1], float(block[-2]))

    @torch.no_grad()
    def combine(self, a: float, g: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """The vector a g + Sᵀb + Yᵀc in one pass.

        Args:
            g: shape (n,).
            b, c: coefficients, shape (k,), oldest pair first.
        """
        if self._count == 0:
            return a * g
        slots = torch.empty(self._count, 2, dtype=torch.float64)
        slots[self._order()] = torch.stack((b, c), dim=1).to("cpu", torch.float64)
        weights = slots.flatten().to(g.device)
        result = torch.empty_like(g)
        for block in self.geometry.blocks:
            self._combine(a, g[block], self._rows()[:, block], weights, result[block])
        return result

    def _combine(self, a: float, g: Tensor, rows: Tensor, weights: Tensor, result: Tensor) -> None:
        """Write a g + rowsᵀ weights into ``result``, all of one block."""
        # Large coefficients of opposite sign are usual here: sum them in float64, round once.
        for cols, part in self._chunks(rows):
            sums = torch.addmv(g[cols].double(), part.T, weights, beta=a)
            result[cols] = sums

    @property
    def ss(self) -> Tensor:
        """S Sᵀ, float64 (k, k): entry (i, j) is s_iᵀs_j."""
        return self._block(0, 0)

    @property
    def sy(self) -> Tensor:
        """S Yᵀ, float64 (k, k): entry (i, j) is s_iᵀy_j."""
        return self._block(0, 1)

    @property
    def yy(self) -> Tensor:
        """Y Yᵀ, float64 (k, k): entry (i, j) is y_iᵀy_j."""
        return self._block(1, 1)

    def curvatures(self) -> Tensor:
        """sᵀy / sᵀs of every pair, float64 (k,), oldest first."""
        if self._gram is None:
            return torch.zeros(0, dtype=torch.float64)
        order = self._order()
        return self._gram[order, 0, order, 1] / self._gram[order, 0, order, 0]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and integers only. The tensors may be the live ones, as in ``torch.optim``."""
        state = {"capacity": self.capacity, "count": self._count, "oldest": self._oldest}
        if self._pairs is None or self._gram is None:
            return state
        # The whole buffer, filled or not: a checkpoint loaded in place needs shapes that stay.
        return {**state, "dim": self._dim, "pairs": self._pairs, "gram": self._gram}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state of the same capacity; what follows is bit-identical."""
        if state["capacity"] != self.capacity:
            raise ValueError(
                f"the saved memory holds {state['capacity']} pairs and this one {self.capacity}; "
                "build it with the saved capacity"
            )
        self.reset()
        if "pairs" not in state:
            return
        self._pairs = state["pairs"].clone()
        self._gram = state["gram"].to("cpu", torch.float64).clone()
        self._count, self._oldest, self._dim = state["count"], state["oldest"], state["dim"]

    def _order(self) -> Tensor:
        """Slots from the oldest pair to the newest, (k,)."""
        return (torch.arange(self._count) + self._oldest) % max(self._count, 1)

    def _block(self, a: int, b: int) -> Tensor:
        if self._gram is None:
            return torch.zeros(0, 0, dtype=torch.float64)
        order = self._order()
        return self._gram[:, a, :, b][order[:, None], order]

    def _rows(self, count: int | None = None) -> Tensor:
        assert self._pairs is not None
        return self._pairs[: self._count if count is None else count].flatten(0, 1)

    def _inner(self, vectors: list[Tensor], count: int) -> Tensor:
        """Of each vector with the first ``count`` slots, with itself, and its length: (q, 2k + 2).

        Accumulated in float64. A row depends on its own vector only, to the last bit: the products
        of a gradient are the same whether it shared the pass of a pair or not, as after a restart.
        """

        def piece(block: slice) -> Tensor:
            own = [vector[block] for vector in vectors]
            sums = torch.zeros(len(own), 2 * count + 2, dtype=torch.float64, device=own[0].device)
            sums[:, -1] = len(own[0])
            rows = self._rows(count)[:, block] if count else own[0].new_zeros(0, len(own[0]))
            for cols, part in self._chunks(rows):
                for total, vector in zip(sums, own, strict=True):
                    v = vector[cols].double()
                    total[:-2] += torch.mv(part, v)
                    total[-2] += torch.dot(v, v)
            return sums

        return self.geometry.total(piece)

    @staticmethod
    def _chunks(rows: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Slices of the parameter dim with the rows there in float64; valid until the next one."""
        n = rows.shape[1]
        if rows.dtype == torch.float64:
            yield slice(0, n), rows
            return
        budget = CHUNK["cpu" if rows.device.type == "cpu" else "other"]
        width = min(max(budget // max(len(rows), 1), 256), n)
        # One buffer for all: fresh ones of this size come from the operating system, page by page.
        buffer = torch.empty(len(rows), width, dtype=torch.float64, device=rows.device)
        for start in range(0, n, width):
            cols = slice(start, min(start + width, n))
            yield cols, buffer[:, : cols.stop - start].copy_(rows[:, cols])

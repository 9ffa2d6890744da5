"""The memory of secant pairs: the last m pairs (s, y) and all their inner products.

A curvature model needs the vectors twice per step (one pass to project a gradient, one to combine a
step) and otherwise only the Gram matrices, kept here in float64 whatever the vectors' precision.
Every block of inner products goes through a :class:`ddopt.vectors.Geometry`, so the same code
serves vectors sharded over ranks.

Legend: n parameters (of this shard), m capacity, k <= m stored pairs, S and Y the (k, n) matrices
whose rows are the steps s and the gradient differences y, oldest first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddopt.vectors import LOCAL, Geometry

# float64 numbers a chunk of converted vectors may hold: the second-level cache of a CPU core, and
# on an accelerator enough work to hide a launch. A vector or two more does no harm, hence the n in
# _chunks.
CHUNK = {"cpu": 1 << 16, "other": 1 << 22}


class Products(NamedTuple):
    """Inner products of one vector g with the memory, float64 on the CPU, oldest pair first."""

    sg: Tensor  # (k,)  S g
    yg: Tensor  # (k,)  Y g
    gg: float  # gᵀg


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
    def push(self, s: Tensor, y: Tensor) -> bool:
        """Store a pair, at the price of one pass over [S Y]; a zero or non-finite one is refused.

        Args:
            s: step, shape (n,).
            y: gradient difference along it, shape (n,).

        Returns:
            Whether the pair was stored. The answer is the same on all ranks.
        """
        new = torch.stack((s, y))

        def piece(cols: slice) -> Tensor:
            part = new[:, cols]
            size = torch.full((1,), part.shape[1], dtype=torch.float64, device=s.device)
            products = (self._with_memory(part, cols), self._inner(part, part), size)
            return torch.cat([product.flatten() for product in products])

        block = self.geometry.total(piece).cpu()
        own = block[-5:-1].view(2, 2)
        if not bool(torch.isfinite(block).all()) or float(own[0, 0]) <= 0.0:
            return False
        if self._pairs is None or self._gram is None:
            self.prepare(s)
        assert self._pairs is not None
        assert self._gram is not None
        slot = self._oldest if self._count == self.capacity else self._count
        cross = block[:-5].view(self._count, 2, 2)
        self._gram[: self._count, :, slot, :] = cross
        self._gram[slot, :, : self._count, :] = cross.permute(2, 0, 1)
        self._gram[slot, :, slot, :] = own
        self._pairs[slot] = new
        self._dim = int(block[-1])
        if self._count == self.capacity:
            self._oldest = (self._oldest + 1) % self.capacity
        else:
            self._count += 1
        return True

    @torch.no_grad()
    def products(self, g: Tensor) -> Products:
        """S g, Y g and gᵀg in one pass and one reduction; g has shape (n,)."""

        def piece(cols: slice) -> Tensor:
            row = g[cols].unsqueeze(0)
            parts = (self._with_memory(row, cols), self._inner(row, row))
            return torch.cat([part.flatten() for part in parts])

        block = self.geometry.total(piece).cpu()
        ordered = block[:-1].view(self._count, 2)[self._order()]
        return Products(ordered[:, 0], ordered[:, 1], float(block[-1]))

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
        if g.dtype == torch.float64:
            torch.addmv(g, rows.T, weights, beta=a, out=result)
            return
        # Large coefficients of opposite sign are usual here: sum them in float64, round once.
        for cols in self._chunks(rows):
            part = torch.addmv(g[cols].double(), rows[:, cols].double().T, weights, beta=a)
            result[cols] = part.to(g.dtype)

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

    def _rows(self) -> Tensor:
        assert self._pairs is not None
        return self._pairs[: self._count].flatten(0, 1)

    def _with_memory(self, columns: Tensor, cols: slice) -> Tensor:
        """Inner products of all stored vectors' piece with the given ones: (2k, q) from (q, n)."""
        if self._count == 0:
            return torch.zeros(0, len(columns), dtype=torch.float64, device=columns.device)
        return self._inner(self._rows()[:, cols], columns)

    def _inner(self, rows: Tensor, columns: Tensor) -> Tensor:
        """rows columnsᵀ accumulated in float64, without a float64 copy of ``rows``: (p, q)."""
        if rows.dtype == torch.float64:
            return rows @ columns.T
        total = torch.zeros(len(rows), len(columns), dtype=torch.float64, device=rows.device)
        for cols in self._chunks(rows):
            total += rows[:, cols].double() @ columns[:, cols].double().T
        return total

    @staticmethod
    def _chunks(rows: Tensor) -> Iterator[slice]:
        """Slices of the parameter dim whose float64 copies stay small."""
        n = rows.shape[1]
        budget = CHUNK["cpu" if rows.device.type == "cpu" else "other"]
        width = max(budget // len(rows), 256)
        return (slice(start, min(start + width, n)) for start in range(0, n, width))

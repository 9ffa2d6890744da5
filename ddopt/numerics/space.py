"""The parameter space: flat vectors of length n, the layers inside them, and their only writer.

Legend: n parameters in all; θ a flat vector (n,); C an index set of parameters; R v = v[C].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CPU = torch.device("cpu")
HALF = (torch.bfloat16, torch.float16)  # parameters, but not vectors: small steps would be lost
Indices = torch.Tensor | slice | None  # an index set C: indices, one range, or everything


@dataclass(frozen=True)
class Layout:
    """Which part of a flat vector belongs to which parameter.

    ``names`` and ``shapes`` are in vector order; ``dtype`` and ``device`` are those of the vector.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    dtype: torch.dtype = torch.float64
    device: torch.device = CPU

    @cached_property
    def sizes(self) -> list[int]:
        """Entries of each parameter."""
        return [shape.numel() for shape in self.shapes]

    @cached_property
    def size(self) -> int:
        """The length n of a flat vector."""
        return sum(self.sizes)

    @cached_property
    def slices(self) -> list[slice]:
        """The range of each parameter in the flat vector."""
        ends = list(accumulate(self.sizes))
        return [slice(end - size, end) for size, end in zip(self.sizes, ends, strict=True)]

    def layers(self) -> dict[str, list[slice]]:
        """Ranges grouped by layer: the parameters of one module (its weight and its bias)."""
        grouped: dict[str, list[slice]] = {}
        for name, piece in zip(self.names, self.slices, strict=True):
            grouped.setdefault(name.rpartition(".")[0] or name, []).append(piece)
        return grouped

    def whole(self, indices: Indices) -> list[int] | None:
        """Which parameters make up ``indices``, in order; None if one is only partly in it."""
        if indices is None:
            return list(range(len(self.names)))
        if isinstance(indices, slice):
            indices = torch.arange(indices.start, indices.stop)
        inside = torch.zeros(self.size, dtype=torch.bool)
        inside[indices] = True
        members = [i for i, piece in enumerate(self.slices) if bool(inside[piece].any())]
        order = torch.cat([torch.arange(self.size)[self.slices[i]] for i in members])
        same = len(order) == len(indices) and torch.equal(order, indices.cpu())
        return members if same else None

    def restricted(self, indices: Indices) -> Layout:
        """The layout of R v: one unnamed block of the length of ``indices``."""
        if indices is None:
            return self
        shapes = (torch.Size([extent(indices)]),)
        return replace(self, names=("restricted",), shapes=shapes)

    @classmethod
    def flat(cls, n: int, dtype: torch.dtype = torch.float64, device: str = "cpu") -> Layout:
        """The layout of a problem that has n numbers and no layers."""
        return cls(("x",), (torch.Size([n]),), dtype, torch.device(device))


def extent(indices: torch.Tensor | slice) -> int:
    """The number of parameters in an index set."""
    if isinstance(indices, slice):
        return int(indices.stop - indices.start)
    return indices.numel()


def restrict(vector: torch.Tensor, indices: Indices) -> torch.Tensor:
    """R v: the entries of ``vector`` (..., n) in ``indices``; a view where it can be one."""
    return vector if indices is None else vector[..., indices]


def prolong(part: torch.Tensor, indices: Indices, n: int) -> torch.Tensor:
    """Rᵀ v_d: ``part`` put back into a vector (n,) that is zero elsewhere."""
    if indices is None:
        return part
    vector = part.new_zeros(n)
    vector[indices] = part
    return vector


class Parameters:
    """The parameters of a module as one flat vector; the only code that writes parameters.

    Vectors of bfloat16 and float16 parameters are float32: what is written is their rounding, so
    that steps which are smaller than it add up (master weights: Micikevicius et al., Mixed
    precision training, ICLR 2018, section 3.1).

    Raises ``ValueError`` if there is none, or if they differ in dtype or device: a trust region
    needs one inner product, so it needs one kind of number. A tensor without elements is of any
    kind.
    """

    def __init__(self, named: Iterable[tuple[str, torch.Tensor]]) -> None:
        pairs = list(named)
        self.tensors: list[torch.Tensor] = [tensor for _, tensor in pairs]
        if not self.tensors:
            raise ValueError("there are no parameters to train; expected at least one")
        if any(hasattr(t, "placements") or hasattr(t, "_sharded_size") for t in self.tensors):
            raise ValueError(
                "the parameters are pieces of sharded tensors (DTensor, as fully_shard makes them, "
                "or FullyShardedDataParallel's), and a trust region needs whole ones; train the "
                "model in DistributedDataParallel, or from a run file on several processes"
            )
        filled = [tensor for tensor in self.tensors if tensor.numel()] or self.tensors
        kinds = sorted({f"{tensor.dtype} on {tensor.device}" for tensor in filled})
        if len(kinds) > 1:
            raise ValueError(
                f"the parameters are of several kinds ({', '.join(kinds)}); expected one dtype on "
                "one device: convert the model, for example with model.to(torch.float64)"
            )
        first = filled[0]
        if not first.is_floating_point():
            raise ValueError(f"the parameters are {first.dtype}; expected real floating point")
        names = tuple(name for name, _ in pairs)
        shapes = tuple(tensor.shape for tensor in self.tensors)
        dtype = torch.float32 if first.dtype in HALF else first.dtype
        self.layout = Layout(names, shapes, dtype, first.device)
        self.writes = 0  # a graph that is older than the last one is no longer valid

    def pieces(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Views of a flat vector (n,) in the shapes of the parameters."""
        parts = torch.split(vector, self.layout.sizes)
        return [part.view(shape) for part, shape in zip(parts, self.layout.shapes, strict=True)]

    @torch.no_grad()
    def read(self, last: torch.Tensor | None = None) -> torch.Tensor:
        """θ: a copy of the parameters as one vector (n,); ``last`` itself where they are still it.

        They are where they are what writing ``last`` (n,) would leave.
        """
        now = torch.cat([tensor.detach().reshape(-1) for tensor in self.tensors])
        if last is not None and torch.equal(last.to(now.dtype), now):
            return last
        return now.to(self.layout.dtype)

    @torch.no_grad()
    def write(self, theta: torch.Tensor) -> None:
        """Set the parameters to ``theta`` (n,) in place, rounded where they are half precision."""
        torch._foreach_copy_([tensor.detach() for tensor in self.tensors], self.pieces(theta))
        self.writes += 1

    def clear_gradients(self) -> None:
        """Drop the gradients, as ``Optimizer.zero_grad`` does."""
        for tensor in self.tensors:
            tensor.grad = None

    def flatten(self, pieces: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """One vector (n,) from a tensor per parameter; ``None`` stands for zeros."""
        return torch.cat(
            [
                (torch.zeros_like(tensor) if piece is None else piece.detach()).reshape(-1)
                for tensor, piece in zip(self.tensors, pieces, strict=True)
            ]
        ).to(self.layout.dtype)

"""Inner products of flat vectors, accumulated in float64 whatever the vectors are kept in.

A float32 model of half a million parameters loses four digits of <g, s> in float32, and the ratio
that decides a step is a quotient of such numbers.

What is decided by an inner product goes through the :class:`Geometry` of the problem at hand: where
each process holds a piece of every vector, only the inner products are summed over processes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import torch

from ddopt.numerics.reading import Later, Number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Kind = TypeVar("Kind")
LEAST = 1e-250  # a sum of squares below this, or above its inverse, may have lost terms
CHUNK = 1 << 16  # float64 copies of float32 vectors stay in cache, and need no extra vector


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """<a, b> of two vectors (n,), accumulated in float64."""
    found = _products(a, b)
    return float(found) if found.ndim == 0 else total(found.tolist())


def dot_later(a: torch.Tensor, b: torch.Tensor) -> Later:
    """The same number, on its way."""
    found = _products(a, b)
    return Later(found) if found.ndim == 0 else Later(found, total)


def _products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """<a, b> of two vectors (n,) in float64, shape (); or of their chunks, shape (c,)."""
    if a.dtype == torch.float64:
        return torch.dot(a, b)
    if a.device.type != "cpu":
        return torch.sum(a * b, dtype=torch.float64)
    if len(a) <= CHUNK:
        return torch.dot(a.double(), b.double())
    parts = zip(a.split(CHUNK), b.split(CHUNK), strict=True)
    return torch.stack([torch.dot(x.double(), y.double()) for x, y in parts])


def total(terms: Iterable[float]) -> float:
    """The sum of ``terms``, rounded once; infinite or nan, and no error, where it has no value."""
    found = list(terms)
    try:
        return math.fsum(found)
    except (OverflowError, ValueError):  # beyond the largest number, or inf - inf
        return sum(found)


def norm(a: torch.Tensor) -> float:
    """The 2-norm of a vector (n,), accumulated in float64; right wherever it is a number."""
    return LOCAL.norm(a)


def max_norm(a: torch.Tensor) -> float:
    """The ∞-norm of a vector (n,)."""
    return float(_largest(a))


def _largest(a: torch.Tensor) -> torch.Tensor:
    """The ∞-norm of a vector (n,), shape (); NaN where an entry is."""
    return a.abs().max() if a.numel() else a.new_zeros(())


class Geometry:
    """Inner products of vectors that are whole in this process."""

    sharded = False  # whether each process holds only a piece of every vector
    count = 1  # blocks of a whole vector, over all processes
    owned: Mapping[int, slice] = MappingProxyType({0: slice(None)})  # those of this one, in its own
    blocks: tuple[slice, ...] = (slice(None),)  # the same without their numbers; see Sharded

    def sharing(self, executor: Kind) -> Kind:
        """Who shares out samples: ``executor``, or, of its processes, those with these blocks."""
        return executor

    def total(self, part: Callable[[slice], torch.Tensor]) -> torch.Tensor:
        """Σ over the blocks of a vector of part(block), a small float64 tensor."""
        return part(slice(None))

    def dot(self, a: torch.Tensor, b: torch.Tensor) -> float:
        """<a, b> of two vectors (n,)."""
        return dot(a, b)

    def norm(self, a: torch.Tensor) -> float:
        """The 2-norm of a vector (n,); right where its square is no number, too."""
        return self._root(self.dot(a, a), a)

    def _root(self, square: float, a: torch.Tensor) -> float:
        """‖a‖, where its square has been found."""
        if LEAST <= square <= 1.0 / LEAST:
            return math.sqrt(square)
        largest = self._largest(a)
        if largest == 0.0 or not math.isfinite(largest):
            return largest
        unit = math.ldexp(0.5, math.frexp(largest)[1])  # a power of two: no digit is lost
        scaled = a.double() / unit
        return unit * math.sqrt(self.dot(scaled, scaled))

    def length(self, a: torch.Tensor, norm: str = "2") -> float:
        """The length of a vector (n,) in the 2-norm or the ∞-norm, "inf"."""
        return self.norm(a) if norm == "2" else self._largest(a)

    def dot_later(self, a: torch.Tensor, b: torch.Tensor) -> Number:
        """<a, b>, which is read with other numbers; nobody may write to the vectors before."""
        return dot_later(a, b)

    def estimate(
        self, a: torch.Tensor, b: torch.Tensor, less: torch.Tensor | None = None
    ) -> Number:
        """About <a, b − less>, in the vectors' precision; they may change before it is read.

        Walks on micro-batches ask for it in every step: a copy of the vectors in float64 takes
        longer than all else beside the gradient, whose own noise is far above the difference.
        """
        if a.dtype == torch.float64 or a.device.type != "cpu" or len(a) <= CHUNK:
            return self.dot_later(a, b if less is None else b - less)
        first, second = a.split(CHUNK), b.split(CHUNK)
        if less is None:
            found = [torch.dot(x, y) for x, y in zip(first, second, strict=True)]
        else:  # a difference never leaves the cache
            room = torch.empty_like(first[0])
            parts = zip(first, second, less.split(CHUNK), strict=True)
            found = [torch.dot(x, torch.sub(y, z, out=room[: len(x)])) for x, y, z in parts]
        return Later(torch.stack(found), total)

    def length_later(self, a: torch.Tensor, norm: str = "2") -> Number:
        """The length of a vector (n,), which is read with other numbers."""
        if norm == "inf":
            return Later(_largest(a))
        square = dot_later(a, a)
        return lambda: self._root(square(), a)

    def finite(self, a: torch.Tensor) -> bool:
        """Whether every entry of a vector (n,) is finite; its norm may overflow all the same."""
        return bool(a.isfinite().all())

    def _largest(self, a: torch.Tensor) -> float:
        return max_norm(a)


LOCAL = Geometry()


def fingerprint(a: torch.Tensor) -> str:
    """A short text that differs where a bit of the vector (n,) does."""
    data = a.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(data.data).hexdigest()[:16]


NORMS = {"2": norm, "inf": max_norm}

"""Derivatives of a network by its coordinates, to any order, carried through pointwise functions.

A *channel* is a sum of derivatives (``derivatives``), because an equation often needs no more than
a sum: the Laplacian is the channel ((0, 0), (1, 1)). A jet holds here one number for each channel.

The chain rule of a pointwise function y = σ(z) is Faà di Bruno's formula, a sum over the partitions
π of the coordinates of a derivative α:

    ∂_α y = Σ_π σ^(|π|)(z) Π_{β ∈ π} ∂_β z

Source: Hardy, Combinatorics of partial derivatives, Electronic Journal of Combinatorics 13 (2006).

Legend: K channels; tensors of jets have the shape (K, points, width), the value first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import torch

from ddopt_pinn.derivatives import Derivative

Channel = tuple[Derivative, ...]
VALUE: Channel = ((),)


@dataclass(frozen=True)
class Product:
    """One product of the chain rule: factor · σ^(order)(z) · Π z[channels]."""

    factor: float
    order: int
    channels: tuple[int, ...]


def partitions(items: Derivative) -> Iterator[list[Derivative]]:
    """Every way to cut a sequence of coordinates into blocks, their order apart."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for size in range(len(rest) + 1):
        for chosen in combinations(range(len(rest)), size):
            block = (first, *(rest[i] for i in chosen))
            left = tuple(one for i, one in enumerate(rest) if i not in chosen)
            for others in partitions(left):
                yield [block, *others]


class Jets:
    """The channels that are carried, and the products that make each of them.

    ``wanted`` are the channels asked for; those that the chain rule needs beside them are added.
    """

    def __init__(self, wanted: Sequence[Channel]) -> None:
        needed = {VALUE, *wanted}
        for channel in wanted:
            for derivative in channel:
                parts = range(1, len(derivative))
                needed |= {(one,) for k in parts for one in combinations(derivative, k)}
        self.channels = sorted(needed, key=lambda channel: (len(channel[0]), channel))
        places = {channel: k for k, channel in enumerate(self.channels)}
        self.products = [self._products(channel, places) for channel in self.channels]

    @staticmethod
    def _products(channel: Channel, places: dict[Channel, int]) -> list[Product]:
        if channel == VALUE:
            return [Product(1.0, 0, ())]
        found: Counter[tuple[int, ...]] = Counter()
        for derivative in channel:
            for blocks in partitions(derivative):
                if len(blocks) > 1:
                    found[tuple(sorted(places[(block,)] for block in blocks))] += 1
        several = [Product(float(n), len(factors), factors) for factors, n in found.items()]
        return [*several, Product(1.0, 1, (places[channel],))]

    @cached_property
    def order(self) -> int:
        """The highest order of a derivative."""
        return max(len(channel[0]) for channel in self.channels)

    def __len__(self) -> int:
        """K, the number of channels."""
        return len(self.channels)

    def activated(self, sigma: list[torch.Tensor], z: torch.Tensor) -> torch.Tensor:
        """The jets of σ(z); ``sigma`` holds σ, σ', ... at the values of ``z``, (points, width)."""
        y = torch.empty_like(z)
        for k, products in enumerate(self.products):
            for i, one in enumerate(products):
                term = _times(sigma[one.order], one.factor, [z[c] for c in one.channels])
                if i == 0:
                    y[k] = term
                else:
                    y[k] += term
        return y

    def pulled(self, sigma: list[torch.Tensor], z: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        """From ∂r/∂y to ∂r/∂z, both of the shape of ``z``; needs σ to one order more."""
        b = torch.zeros_like(z)
        for k, products in enumerate(self.products):
            for one in products:
                factors = [z[c] for c in one.channels]
                b[0] += _times(sigma[one.order + 1], one.factor, [a[k], *factors])
                outer = _times(sigma[one.order], one.factor, [a[k]]) if factors else None
                for i, c in enumerate(one.channels):
                    assert outer is not None
                    b[c] += _times(outer, 1.0, factors[:i] + factors[i + 1 :])
        return b


def _times(start: torch.Tensor, factor: float, others: list[torch.Tensor]) -> torch.Tensor:
    result = start if factor == 1.0 else factor * start
    for other in others:
        result = result * other
    return result

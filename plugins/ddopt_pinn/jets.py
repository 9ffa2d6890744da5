"""Derivatives of a network by its coordinates, to any order, carried through pointwise functions.

A *derivative* is written as the coordinates it differentiates by, sorted: () is the value, (0,) is
∂_0, (0, 1) is ∂_0∂_1. A *channel* is a sum of derivatives, because an equation often needs no more
than a sum: the Laplacian is the channel ((0, 0), (1, 1)). A jet holds one number for each channel.

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
from itertools import combinations, combinations_with_replacement
from math import factorial, prod

import torch

Derivative = tuple[int, ...]
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


def derivatives(dimensions: int, order: int) -> list[Derivative]:
    """All derivatives by ``dimensions`` coordinates up to ``order``, the value first."""
    return [
        one for k in range(order + 1) for one in combinations_with_replacement(range(dimensions), k)
    ]


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


def taylor(a: torch.Tensor, x: torch.Tensor, order: int) -> torch.Tensor:
    """The Taylor polynomials with the derivatives ``a`` around ``x``, taken at ``x``.

    Autograd differentiates it by ``x`` as if it were the function itself, up to ``order``.

    Args:
        a: all derivatives up to ``order`` at each point, in the sequence of ``derivatives``, shape
            (points, derivatives, width).
        x: the points, shape (points, dimensions); it requires a gradient.
        order: of the polynomial.
    """
    step = x - x.detach()  # zero, and its derivative is one
    powers = [torch.ones_like(step[:, 0])]
    known: dict[Derivative, torch.Tensor] = {(): powers[0]}
    for derivative in derivatives(x.shape[1], order)[1:]:
        known[derivative] = known[derivative[:-1]] * step[:, derivative[-1]]
        scale = prod(factorial(n) for n in Counter(derivative).values())
        powers.append(known[derivative] / scale if scale > 1 else known[derivative])
    return (torch.stack(powers, 1)[:, :, None] * a).sum(1)

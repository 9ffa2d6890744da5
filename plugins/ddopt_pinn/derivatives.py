"""Which derivatives a jet holds, and in which order; the order is the same everywhere.

A *jet* of order k is the list of all derivatives up to order k at one point: the value first, then
first derivatives, then second ones, mixed ones included. A derivative is written in one of two
ways: as the coordinates it differentiates by, sorted, (0, 2, 2) for ∂_0 ∂_2², or as a *multi-index*
that counts them, (1, 0, 2) in three dimensions.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations_with_replacement

Derivative = tuple[int, ...]
Index = tuple[int, ...]


@cache
def derivatives(dimensions: int, order: int) -> tuple[Derivative, ...]:
    """All derivatives up to an order, C(dimensions + order, order) of them, the value first."""
    return tuple(
        one for k in range(order + 1) for one in combinations_with_replacement(range(dimensions), k)
    )


@cache
def upto(dimensions: int, order: int) -> tuple[Index, ...]:
    """The same as multi-indices."""
    every = derivatives(dimensions, order)
    return tuple(tuple(one.count(a) for a in range(dimensions)) for one in every)


def factorial(alpha: Index) -> int:
    """α! = Π α_i!."""
    return math.prod(math.factorial(k) for k in alpha)


def binomial(alpha: Index, beta: Index) -> int:
    """Π C(α_i, β_i): how often ∂^β v ∂^(α−β) f stands in ∂^α (v f)."""
    return math.prod(math.comb(a, b) for a, b in zip(alpha, beta, strict=True))


def minus(alpha: Index, beta: Index) -> Index:
    """α − β."""
    return tuple(a - b for a, b in zip(alpha, beta, strict=True))

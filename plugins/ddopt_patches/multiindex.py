"""Multi-indices: which derivative is meant. (1, 0, 2) is ∂_0 ∂_2², of order 3.

A *jet* of order k is the list of all derivatives up to order k at one point, in the order of
``upto``: value first, then first derivatives, then second ones, mixed ones included.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations_with_replacement, product

Index = tuple[int, ...]


@cache
def upto(dimensions: int, order: int) -> tuple[Index, ...]:
    """All multi-indices up to an order, by order: C(dimensions + order, order) of them."""
    found = []
    for k in range(order + 1):
        for axes in combinations_with_replacement(range(dimensions), k):
            found.append(tuple(axes.count(a) for a in range(dimensions)))
    return tuple(found)


def factorial(alpha: Index) -> int:
    """α! = Π α_i!."""
    return math.prod(math.factorial(k) for k in alpha)


def binomial(alpha: Index, beta: Index) -> int:
    """Π C(α_i, β_i): how often ∂^β v ∂^(α−β) f stands in ∂^α (v f)."""
    return math.prod(math.comb(a, b) for a, b in zip(alpha, beta, strict=True))


def below(alpha: Index) -> list[Index]:
    """All β with 0 <= β_i <= α_i."""
    return list(product(*(range(k + 1) for k in alpha)))


def minus(alpha: Index, beta: Index) -> Index:
    """α − β."""
    return tuple(a - b for a, b in zip(alpha, beta, strict=True))

"""Windows: how neighbouring patches share the interval between them, by name.

On each interval of the grid the right patch has the weight w(s), the left one 1 − w(s), with s from
0 to 1; over several axes the weights are multiplied. So the windows of all patches add up to one.

``c1`` .. ``c4`` are the smoothsteps with that many continuous derivatives,

    w(s) = s^(k+1) Σ_{j=0..k} C(k+j, j) C(2k+1, k−j) (−s)^j,

the polynomials of degree 2k + 1 with k derivatives zero at both ends: c3 is s⁴(35 − 84s + 70s² −
20s³). An equation of order p needs k >= p − 1 for a finite residual, so c3 serves up to the fourth
order.
"""

from __future__ import annotations

import math
from functools import cache

import torch

SMOOTHNESS = {"c1": 1, "c2": 2, "c3": 3, "c4": 4}


@cache
def coefficients(k: int) -> tuple[int, ...]:
    """The coefficients of the smoothstep with ``k`` continuous derivatives, constant first."""
    powers = [math.comb(k + j, j) * math.comb(2 * k + 1, k - j) * (-1) ** j for j in range(k + 1)]
    return (*[0] * (k + 1), *powers)


def smoothness(name: str) -> int:
    """How many derivatives of a window are continuous. Raises ``ValueError`` for another name."""
    if name not in SMOOTHNESS:
        raise ValueError(f"there is no window {name!r}; choose one of {', '.join(SMOOTHNESS)}")
    return SMOOTHNESS[name]


def jets(name: str, s: torch.Tensor, order: int) -> list[torch.Tensor]:
    """w and its derivatives up to ``order`` at ``s`` in [0, 1], each of the shape of ``s``."""
    c = list(coefficients(smoothness(name)))
    found = []
    for _ in range(order + 1):
        value = torch.zeros_like(s)
        for one in reversed(c):
            value = value * s + one
        found.append(value)
        c = [j * one for j, one in enumerate(c)][1:] or [0]
    return found

"""Pointwise functions with their derivatives: closed forms where they are known, autograd else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Function = Callable[[torch.Tensor], torch.Tensor]

# Modules that act on each number by itself, and have no parameters of their own.
POINTWISE = (nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.Softplus, nn.ELU, nn.SELU, nn.Mish)


def with_derivatives(sigma: Function, z: torch.Tensor, order: int) -> list[torch.Tensor]:
    """σ, σ', ..., σ^(order) at the numbers ``z``, each of the shape of ``z``, detached."""
    if sigma in (torch.tanh, nn.functional.tanh) or isinstance(sigma, nn.Tanh):
        return derivatives_of_tanh(torch.tanh(z), order)
    if sigma in (torch.sigmoid, nn.functional.sigmoid) or isinstance(sigma, nn.Sigmoid):
        y = torch.sigmoid(z)
        return _polynomials(y, y * (1.0 - y), (0.0, 1.0, -1.0), order)
    if sigma is torch.sin:
        s, c = torch.sin(z), torch.cos(z)
        return [s, c, -s, -c, *([s, c, -s, -c] * (order // 4))][: order + 1]
    return _by_autograd(sigma, z, order)


def derivatives_of_tanh(y: torch.Tensor, order: int) -> list[torch.Tensor]:
    """tanh and its derivatives up to ``order`` where tanh is ``y``: y' = 1 − y²."""
    first = (y * y).neg_().add_(1.0) if order else y
    return _polynomials(y, first, (1.0, 0.0, -1.0), order)


def _polynomials(
    y: torch.Tensor, first: torch.Tensor, rule: tuple[float, float, float], order: int
) -> list[torch.Tensor]:
    """The derivatives of a function with y' = p(y), a quadratic p: all are polynomials in y.

    Each is the first derivative times a polynomial q: (p q)' = p (p q' + p' q), which loses no
    digits where p is small.
    """
    found = [y, first][: order + 1]
    q = [1.0]
    slope = [rule[1], 2.0 * rule[2]]
    for _ in range(order - 1):
        q = _added(_product(rule, [k * c for k, c in enumerate(q)][1:]), _product(slope, q))
        found.append(_horner(q, y).mul_(first))
    return found


def _product(a: tuple[float, ...] | list[float], b: list[float]) -> list[float]:
    found = [0.0] * max(len(a) + len(b) - 1, 0) if b else []
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            found[i + j] += one * other
    return found


def _added(a: list[float], b: list[float]) -> list[float]:
    size = max(len(a), len(b))
    return [
        sum(x) for x in zip(a + [0.0] * (size - len(a)), b + [0.0] * (size - len(b)), strict=True)
    ]


def _horner(q: list[float], y: torch.Tensor) -> torch.Tensor:
    *rest, leading = q
    if not rest:
        return torch.full_like(y, leading)
    value = leading * y
    for c in reversed(rest[1:]):
        value = (value.add_(c) if c else value).mul_(y)
    return value.add_(rest[0]) if rest[0] else value


def _by_autograd(sigma: Function, z: torch.Tensor, order: int) -> list[torch.Tensor]:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        found = [sigma(z)]
        for k in range(order):
            if not found[-1].requires_grad:  # the derivatives of a piecewise linear function end
                found.append(torch.zeros_like(z))
                continue
            (one,) = torch.autograd.grad(
                found[-1].sum(), z, create_graph=k + 1 < order, materialize_grads=True
            )
            found.append(one)
    return [one.detach() for one in found]

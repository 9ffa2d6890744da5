"""From a function to its jets by autograd, and from jets to a function that has them.

An equation in DeepXDE's words asks for derivatives of u as it likes. Given the Taylor polynomial of
u around every point it finds there exactly the derivatives that the polynomial was made of, which
may be leaves of the graph: one backward pass then tells how the equation depends on each of them,
and none of it goes through a network.
"""

from __future__ import annotations

import torch

from ddopt_pinn.derivatives import Derivative, derivatives, factorial, upto


def taylor(a: torch.Tensor, x: torch.Tensor, order: int) -> torch.Tensor:
    """The Taylor polynomials with the derivatives ``a`` around ``x``, taken at ``x``.

    Autograd differentiates it by ``x`` as if it were the function itself, up to ``order``.

    Args:
        a: all derivatives up to ``order`` at each point, in the sequence of ``derivatives``, shape
            (points, derivatives, width).
        x: the points, shape (points, dimensions); it requires a gradient.
        order: of the polynomial.
    """
    if order == 0:
        return a[:, 0]
    step = x - x.detach()  # zero, and its derivative is one
    one = torch.ones_like(step[:, 0])
    known: dict[Derivative, torch.Tensor] = {(): one}
    powers = [one]
    dimensions = x.shape[1]
    names, indices = derivatives(dimensions, order), upto(dimensions, order)
    for derivative, index in zip(names[1:], indices[1:], strict=True):
        known[derivative] = known[derivative[:-1]] * step[:, derivative[-1]]
        scale = factorial(index)
        powers.append(known[derivative] / scale if scale > 1 else known[derivative])
    return (torch.stack(powers, 1)[:, :, None] * a).sum(1)


def tail(x: torch.Tensor, order: int) -> torch.Tensor:
    """s^order e^s with s = Σ (x − x_0) at x_0, (points, 1): only derivatives from ``order`` on.

    It can be differentiated as often as an equation likes, which a polynomial cannot.
    """
    step = (x - x.detach()).sum(1, keepdim=True)
    value = torch.exp(step)
    for _ in range(order):
        value = value * step
    return value


class Jet:
    """The derivatives by ``x`` of one number at each point, by autograd, as they are asked for.

    Args:
        feature: the numbers, shape (points,); each depends on its own row of ``x`` alone.
        x: the points, shape (points, dimensions); it requires a gradient.
    """

    def __init__(self, feature: torch.Tensor, x: torch.Tensor) -> None:
        self._x = x
        self._known: dict[Derivative, torch.Tensor] = {(): feature}

    def at(self, derivative: Derivative) -> torch.Tensor:
        """One derivative, shape (points,), with its graph."""
        if derivative not in self._known:
            lower = self.at(derivative[:-1])
            if not lower.requires_grad:
                return torch.zeros_like(self._known[()])
            found = slope(lower, self._x)
            for i in range(self._x.shape[1]):
                self._known[(*derivative[:-1], i)] = found[:, i]
        return self._known[derivative]


def slope(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """∂y/∂x, zero where y does not depend on x, with its graph.

    Both have one row for each point, and a row of ``y`` depends on its own row of ``x`` alone.
    """
    if not y.requires_grad:
        return torch.zeros_like(x)
    (found,) = torch.autograd.grad(y.sum(), x, create_graph=True, materialize_grads=True)
    return found

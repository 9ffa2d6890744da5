"""Jacobians of residuals at points: one backward pass, in which every point has its own weights.

A residual at a point depends on the weights through that point alone. So the network is evaluated
with a copy of the weights for every point, W_i = W; the gradient of Σ_i r_i with respect to all W_i
then holds ∂r_i/∂W in its i-th slice. The copies are views, and only their gradient takes memory: as
much as the Jacobian itself. It works where all weights enter through linear layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

Leaves = dict[str, torch.Tensor]
ROWS = 64  # residuals differentiated at once where points cannot have weights of their own


class NotPerPointError(RuntimeError):
    """A network uses its weights in another way than in a linear layer."""


class PerPoint(torch.Tensor):
    """Weights of a linear layer, one copy for each row of its input: (rows, outputs, inputs)."""

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Apply a linear layer row by row; nothing else is known about such weights."""
        if func is not torch.nn.functional.linear or kwargs:
            raise NotPerPointError(f"{getattr(func, '__name__', func)} of weights of its own")
        x, weight, bias = (*args, None)[:3]
        with torch._C.DisableTorchFunctionSubclass():
            if isinstance(weight, PerPoint):
                y = (weight.as_subclass(torch.Tensor) @ x[:, :, None]).squeeze(2)
            else:
                y = torch.nn.functional.linear(x, weight)
            return y if bias is None else y + bias.as_subclass(torch.Tensor)


class Copies:
    """Hands out weights to a network, a copy for each row of its input, and keeps the leaves."""

    def __init__(self, net: torch.nn.Module, named: Leaves, moving: set[str]) -> None:
        self._net, self._named, self._moving = net, named, moving
        self.passes: list[Leaves] = []  # one entry per forward pass

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Evaluate the network at ``x`` (rows, dimensions), every row with weights of its own."""
        leaves = {
            name: tensor.detach().expand(len(x), *tensor.shape).requires_grad_()
            for name, tensor in self._named.items()
            if name in self._moving
        }
        self.passes.append(leaves)
        weights = {
            name: leaves[name].as_subclass(PerPoint) if name in leaves else tensor
            for name, tensor in self._named.items()
        }
        return torch.func.functional_call(self._net, weights, (x,))


def rows_of(sums: torch.Tensor, leaves: Sequence[torch.Tensor]) -> torch.Tensor:
    """∂r/∂θ from the sums over all points of k residuals each, shape (points, k, parameters)."""
    found = []
    for one in sums:
        parts = torch.autograd.grad(one, leaves, retain_graph=True, allow_unused=True)
        flat = [
            (torch.zeros_like(leaf) if part is None else part).reshape(len(leaf), -1)
            for part, leaf in zip(parts, leaves, strict=True)
        ]
        found.append(torch.cat(flat, 1))
    return torch.stack(found, 1)


def one_by_one(
    residuals: Callable[[torch.Tensor], torch.Tensor], theta: torch.Tensor
) -> torch.Tensor:
    """∂r/∂θ of a few residuals, a backward pass for each.

    torch needs half a second to import what a batched pass asks for, in every process.
    """
    leaf = theta.detach().requires_grad_()
    r = residuals(leaf)
    return torch.stack([torch.autograd.grad(one, leaf, retain_graph=True)[0] for one in r])


def per_residual(
    residuals: Callable[[torch.Tensor], torch.Tensor], theta: torch.Tensor
) -> torch.Tensor:
    """∂r/∂θ by a batched backward pass for each block of residuals; for any network."""
    leaf = theta.detach().requires_grad_()
    r = residuals(leaf)
    unit = torch.eye(len(r), dtype=r.dtype, device=r.device)
    blocks = [
        torch.autograd.grad(r, leaf, rows, retain_graph=True, is_grads_batched=True)[0]
        for rows in unit.split(ROWS)
    ]
    return torch.cat(blocks)

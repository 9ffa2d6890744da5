"""The Jacobian of a closure's residuals in three backward passes, where points are independent.

A residual at a point depends on the weights through that point alone. So the closure runs with a
copy of the weights for every row of a linear layer's input; the gradient of Σ_i r_i by all copies
then holds ∂r_i/∂W in the slice of i. Which slice belongs to which residual is found by a second
pass, for Σ_i i r_i: where a slice serves one residual, its two gradients are parallel and their
quotient is i. Everything that this cannot be is told from it, and done row by row instead.

Legend: m residuals, n parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

FEW = 16  # numbers outside linear layers (coefficients that are sought): a product for each
APART = 0.05  # how far a quotient may be from a whole number
PARALLEL = 1e-3  # how far two gradients of one slice may be from parallel


class NotPerPointError(RuntimeError):
    """A closure uses its parameters in another way than in linear layers, row by row."""


class Copies(TorchFunctionMode):
    """While it is entered, linear layers get a copy of their weights for each row of the input."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._number = {id(tensor): i for i, tensor in enumerate(tensors)}
        self.leaves: list[tuple[int, torch.Tensor]] = []  # (which parameter, its copies)
        self.elsewhere: set[int] = set()  # parameters that something else has read

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Apply linear layers row by row, and note who else reads a parameter."""
        kwargs = kwargs or {}
        if func is torch.nn.functional.linear and not kwargs:
            x, weight, bias = (*args, None)[:3]
            if not isinstance(x, torch.Tensor):  # a wrapper, which asks again with its tensor
                with self:
                    return type(x).__torch_function__(func, types, args, kwargs)
            if x.ndim == 2 and id(weight) in self._number:
                y = (self._copied(weight, len(x)) @ x[:, :, None]).squeeze(2)
                return y if bias is None else y + self._copied(bias, len(x))
        found = func(*args, **kwargs)
        if isinstance(found, torch.Tensor):  # and not a shape, or a flag
            for value in (*args, *kwargs.values()):
                many = value if isinstance(value, (list, tuple)) else [value]
                self.elsewhere |= {self._number[id(v)] for v in many if id(v) in self._number}
        return found

    def _copied(self, tensor: torch.Tensor, rows: int) -> torch.Tensor:
        number = self._number.get(id(tensor))
        if number is None:
            return tensor
        leaf = tensor.detach().expand(rows, *tensor.shape).requires_grad_()
        self.leaves.append((number, leaf))
        return leaf


def per_point(
    residuals: Callable[[], list[torch.Tensor]], tensors: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, list[int]]:
    """∂r/∂θ, shape (m, n), and the columns that are left zero: numbers outside linear layers.

    Args:
        residuals: runs the closure; its blocks (b,), in order, in each of which a point has at
            most one residual.
        tensors: the parameters, in the order of θ.

    Raises ``NotPerPointError`` where this is not so.
    """
    with Copies(tensors) as copies:
        blocks = residuals()
    sizes = [tensor.numel() for tensor in tensors]
    ends = torch.tensor([0, *sizes]).cumsum(0).tolist()
    left = [j for k in sorted(copies.elsewhere) for j in range(ends[k], ends[k + 1])]
    in_layers = {number for number, _ in copies.leaves}
    if len(left) > FEW or copies.elsewhere & in_layers or not copies.leaves:
        raise NotPerPointError("parameters are used outside linear layers")
    m = sum(len(block) for block in blocks)
    found = blocks[0].detach().new_zeros(m, ends[-1])
    start = 0
    for block in blocks:
        rows = found[start : start + len(block)]
        _add(block, copies.leaves, ends, rows)
        start += len(block)
    return found, left


def _add(
    block: torch.Tensor,
    leaves: list[tuple[int, torch.Tensor]],
    ends: list[int],
    rows: torch.Tensor,
) -> None:
    """Add the slices of one block's gradients to the ``rows`` of the residuals they belong to."""
    if len(block) == 0 or not block.requires_grad:
        return
    only = [leaf for _, leaf in leaves]
    options: Any = {"retain_graph": True, "allow_unused": True}
    plain = torch.autograd.grad(block.sum(), only, **options)
    index = torch.arange(1, len(block) + 1, dtype=block.dtype, device=block.device)
    numbered = torch.autograd.grad(block @ index, only, **options)
    for (number, _), one, other in zip(leaves, plain, numbered, strict=True):
        if one is None or other is None:
            continue
        a, b = one.flatten(1), other.flatten(1)
        square = (a * a).sum(1)
        quotient = (a * b).sum(1) / square.clamp_min(torch.finfo(a.dtype).tiny)
        whole = quotient.round()
        used = square > 0.0
        off = (b - whole[:, None] * a).norm(dim=1) > PARALLEL * b.norm(dim=1)
        if bool((used & (((quotient - whole).abs() > APART) | off)).any()) or bool(
            (~used & (b != 0.0).any(1)).any()
        ):
            raise NotPerPointError("a point has several residuals in one block")
        place = (whole.long() - 1).clamp(0, len(block) - 1)
        rows[:, ends[number] : ends[number + 1]].index_add_(0, place[used], a[used])

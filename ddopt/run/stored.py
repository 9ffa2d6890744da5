"""States as they are stored: no copies are made, and no rows that are still empty.

A memory of m pairs is allocated at once and filled from the front, so that a young one is mostly
zeros; and torch writes the whole memory that a view looks into. Before a state is written each
tensor is therefore narrowed to what it shows, and rows of zeros at its end are only counted.
"""

from __future__ import annotations

import math
from typing import Any

import torch

FILLED, ROWS = "filled rows", "of"  # the keys that stand for a tensor whose end is empty
CHUNK = 1 << 24  # numbers that are looked at in one go


def tight(tree: Any) -> Any:
    """The state, its tensors in memory of just their size, which they share with the original."""
    return _tight(tree, {})


def _tight(node: Any, known: dict[Any, torch.Tensor]) -> Any:
    if isinstance(node, dict):
        return {key: _tight(value, known) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_tight(value, known) for value in node)
    if not isinstance(node, torch.Tensor):
        return node
    node = node.detach()
    filled = _filled(node)
    if filled < len(node) if node.ndim else False:
        return {FILLED: _narrow(node[:filled], known), ROWS: len(node)}
    return _narrow(node, known)


def loose(tree: Any) -> Any:
    """The state that ``tight`` made ready; raises ``ValueError`` where no tensor has such rows."""
    if isinstance(tree, dict):
        if tree.keys() == {FILLED, ROWS}:
            return _padded(tree[FILLED], tree[ROWS])
        return {key: loose(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(loose(value) for value in tree)
    return tree


def _padded(filled: Any, rows: Any) -> torch.Tensor:
    if not (isinstance(filled, torch.Tensor) and filled.ndim and isinstance(rows, int)):
        raise ValueError("a tensor with empty rows is not one")
    whole = filled.new_zeros(rows, *filled.shape[1:])
    whole[: len(filled)] = filled
    return whole


def _filled(tensor: torch.Tensor) -> int:
    """The rows of a matrix, or of something larger, up to the last that is not all zeros."""
    if tensor.ndim == 0:
        return 0
    rows = len(tensor)
    if tensor.ndim < 2 or not tensor.is_floating_point() or tensor.numel() == 0:
        return rows
    step = max(1, CHUNK // math.prod(tensor.shape[1:]))
    while rows:
        part = tensor[max(0, rows - step) : rows].flatten(1)
        used = ((part != 0.0) | part.signbit()).any(dim=1)  # −0 is not what new memory holds
        if bool(used.any()):
            return rows - int(used.flip(0).to(torch.uint8).argmax())
        rows -= len(part)
    return 0


def _narrow(tensor: torch.Tensor, known: dict[Any, torch.Tensor]) -> torch.Tensor:
    """The tensor in memory that ends where it does; the same one for the same numbers."""
    if tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size():
        return tensor
    if not tensor.is_contiguous():
        return tensor.contiguous()
    place = (tensor.data_ptr(), tensor.shape, tensor.dtype)
    if place not in known:
        begin = tensor.storage_offset() * tensor.element_size()
        end = begin + tensor.numel() * tensor.element_size()
        memory = tensor.untyped_storage()[begin:end]
        empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        known[place] = empty.set_(memory, 0, tensor.shape, tensor.stride())
    return known[place]

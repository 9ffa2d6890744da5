"""State trees as torch checkpoints want them: tensors by parameter, and one string of numbers.

A state tree is nested dicts of tensors and plain numbers. Its vectors (..., n_d) are cut at the
parameters' borders; what is no vector (small Gram matrices) goes to the first parameter; the
numbers and the structure become JSON, which round-trips every float64 and is one leaf for
``torch.distributed.checkpoint``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ddopt.numerics.space import Indices, Layout

Pieces = dict[int, dict[str, torch.Tensor]]  # parameter -> key -> tensor
MARK = "tensor:"
LOOSE = "whole:"  # a tensor that belongs to no parameter in particular


def cuts(layout: Layout, indices: Indices) -> list[tuple[int, slice | torch.Tensor]]:
    """Which entries of a vector (n_d,) over ``indices`` belong to which parameter."""
    if indices is None:
        return list(enumerate(layout.slices))
    if isinstance(indices, slice):
        indices = torch.arange(indices.start, indices.stop)
    ends = torch.tensor(layout.sizes).cumsum(0)
    owner = torch.bucketize(indices.cpu(), ends, right=True)
    found = []
    for i in owner.unique().tolist():
        places = (owner == i).nonzero().squeeze(1)
        first, last = int(places[0]), int(places[-1])
        touching = last - first + 1 == len(places)
        found.append((i, slice(first, last + 1) if touching else places))
    return found


def pack(tree: Any, layout: Layout, indices: dict[str, Indices]) -> tuple[str, Pieces]:
    """The numbers of a tree as JSON, and its tensors by parameter.

    ``indices`` gives the index set of the vectors under a path prefix; others are over all of θ.
    """
    pieces: Pieces = {i: {} for i in range(len(layout.names))}

    def place(path: str, tensor: torch.Tensor) -> str:
        over = next((c for prefix, c in indices.items() if path.startswith(prefix)), None)
        length = layout.restricted(over).size
        if tensor.ndim == 0 or tensor.shape[-1] != length or tensor.dtype != layout.dtype:
            pieces[0][LOOSE + path] = tensor
            return MARK + LOOSE + path
        for i, where in cuts(layout, over):
            piece = tensor[..., where]
            whole = over is None or piece.shape[-1] == layout.sizes[i]
            shape = layout.shapes[i] if whole else piece.shape[-1:]
            pieces[i][path] = piece.reshape((*tensor.shape[:-1], *shape))
        return MARK + path

    def walk(node: Any, path: str) -> Any:
        if isinstance(node, torch.Tensor):
            return place(path, node)
        if isinstance(node, dict):
            return {str(key): walk(value, f"{path}/{key}") for key, value in node.items()}
        return node

    return json.dumps(walk(tree, "")), pieces


def unpack(text: str, pieces: Pieces, layout: Layout, indices: dict[str, Indices]) -> Any:
    """The tree that ``pack`` took apart; the tensors are copies."""

    def collect(path: str) -> torch.Tensor:
        if path.startswith(LOOSE):
            return pieces[0][path].clone()
        over = next((c for prefix, c in indices.items() if path.startswith(prefix)), None)
        parts = cuts(layout, over)
        first = pieces[parts[0][0]][path]
        lead = first.shape[: first.ndim - len(_tail(first, layout, over, parts[0]))]
        tensor = first.new_empty(*lead, layout.restricted(over).size)
        for i, where in parts:
            tensor[..., where] = pieces[i][path].reshape(tensor[..., where].shape)
        return tensor

    def walk(node: Any) -> Any:
        if isinstance(node, str) and node.startswith(MARK):
            return collect(node.removeprefix(MARK))
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        return node

    return walk(json.loads(text))


def _tail(
    piece: torch.Tensor, layout: Layout, over: Indices, cut: tuple[int, slice | torch.Tensor]
) -> torch.Size:
    """The trailing dimensions of a piece that stand for one vector."""
    i, where = cut
    count = where.stop - where.start if isinstance(where, slice) else len(where)
    whole = over is None or count == layout.sizes[i]
    return layout.shapes[i] if whole else piece.shape[-1:]

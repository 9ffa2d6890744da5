"""The data that a function is made from: the arrays that it has captured, wherever it keeps them.

What a loss depends on beside θ is nowhere declared: tensors in the cells of a closure, attributes
of the object whose method it is, values of a dict. They are found by looking, so that processes can
compare their data before they compute together.
"""

from __future__ import annotations

import hashlib
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

DEPTH = 5  # of what is in what
MOST = 10_000  # things that are looked at
OPAQUE = (str, bytes, int, float, type, ModuleType, BuiltinFunctionType, torch.device, torch.dtype)
STATEFUL = (torch.nn.Module, torch.optim.Optimizer, torch.Generator)  # no data, or θ itself


def digest(thing: Any) -> str:
    """A short text that differs where an array that ``thing`` has captured does.

    Parameters and tensors without data (on the meta device) do not count. What this cannot see, in
    a file that is read later for example, is not compared.
    """
    found = arrays(thing)
    sums = hashlib.sha256()
    for array in found:
        sums.update(repr((array.shape, array.dtype)).encode())
        if isinstance(array, torch.Tensor):
            array = array.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        sums.update(np.ascontiguousarray(array).data)
    return f"{len(found)} arrays, {sums.hexdigest()[:16]}"


def arrays(thing: Any) -> list[Any]:
    """The tensors and NumPy arrays in a thing, in the order in which they are met."""
    found: list[Any] = []
    seen: dict[int, Any] = {}
    waiting = [(thing, 0)]
    while waiting and len(seen) < MOST:
        one, depth = waiting.pop(0)
        if id(one) in seen or one is None or isinstance(one, (*OPAQUE, *STATEFUL)):
            continue
        seen[id(one)] = one
        if isinstance(one, torch.Tensor):
            if not (one.requires_grad or one.is_meta or one.is_sparse):
                found.append(one)
        elif isinstance(one, np.ndarray):
            if one.dtype != object:
                found.append(one)
        elif depth < DEPTH:
            waiting += [(inner, depth + 1) for inner in _inside(one)]
    return found


def _inside(thing: Any) -> list[Any]:
    """What a function, a container or an object holds."""
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, (list, tuple)):
        return list(thing)
    if isinstance(thing, partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _bound(cell)]
        return [*cells, *(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    if hasattr(thing, "sources"):  # a problem knows best
        return list(thing.sources())
    return list(getattr(thing, "__dict__", {}).values())


def _bound(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a variable that has no value yet
        return False

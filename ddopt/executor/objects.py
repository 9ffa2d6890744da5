"""States of components, sent between processes: nested dicts and lists with tensors in them.

Checkpoints of several processes use it (``ddopt/run/shards.py``): each owner calls ``sent``, and
rank 0 calls ``received`` for one owner after the other.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ddopt.executor.executor import Executor


def sent(executor: Executor, thing: Any) -> None:
    """Send the state ``thing`` to rank 0: first its pickled frame, then its tensors one by one.

    Tensors of float32 and float64 are sent as they are, without a copy where they lie on the CPU.
    Everything else is part of the frame. Rank 0 needs memory for one state.
    """
    tensors: list[torch.Tensor] = []

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return type(node)(walk(value) for value in node)
        if not isinstance(node, torch.Tensor) or node.dtype not in (torch.float32, torch.float64):
            return node
        tensors.append(node.cpu())
        return _Sent(len(tensors) - 1, node.is_cuda)

    frame = bytearray(pickle.dumps(walk(thing)))
    letters = torch.frombuffer(frame, dtype=torch.uint8).to(torch.int32)
    executor.send((letters, *tensors), executor.rank, 0)
    executor.settle()


def received(executor: Executor, owner: int, device: torch.device) -> Any:
    """The state that the process ``owner`` sends; rank 0 calls it.

    Tensors that were on a GPU of the owner come to ``device``, all others to the CPU.
    """
    letters, *tensors = executor.receive(owner, 0, torch.device("cpu"))

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return type(node)(walk(value) for value in node)
        if not isinstance(node, _Sent):
            return node
        return tensors[node.number].to(device) if node.on_gpu else tensors[node.number]

    return walk(pickle.loads(bytes(letters.tolist())))


@dataclass(frozen=True)
class _Sent:
    """Stands in the frame for the ``number``-th tensor that is sent after it."""

    number: int
    on_gpu: bool

"""Python objects between the processes of a run: for checkpoints, which are no tensors yet."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ddopt.executor.executor import Executor


def sent(executor: Executor, thing: Any) -> None:
    """Send a state to rank 0: first what it is made of, then its tensors one by one.

    Nothing is copied that lies on the CPU, and rank 0 needs the room of the state alone.
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
    """The state that the process ``owner`` sends, on rank 0; what was on a GPU is on ``device``."""
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
    """Stands for a tensor that travels by itself."""

    number: int
    on_gpu: bool

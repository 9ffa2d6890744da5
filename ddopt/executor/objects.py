"""Python objects between the processes of a run: for checkpoints, which are no tensors yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from ddopt.executor.executor import Executor


def collected(executor: Executor, thing: Any) -> list[Any]:
    """What every process gives, in the order of their ranks, on rank 0; nothing elsewhere."""
    if executor.size == 1:
        return [thing]
    things: list[Any] | None = [None] * executor.size if executor.rank == 0 else None
    dist.gather_object(thing, things)
    return things or []


def everywhere(executor: Executor, thing: Any) -> list[Any]:
    """What every process gives, in the order of their ranks, on all of them."""
    things = [thing] * executor.size
    if executor.size > 1:
        dist.all_gather_object(things, thing)
    return things


def handed(executor: Executor, thing: Any, owner: int) -> Any:
    """What the process ``owner`` gives, on rank 0; only these two take part."""
    if owner == 0 or executor.rank not in (0, owner):
        return thing
    parcel, cpu = [thing], torch.device("cpu")
    if executor.rank == 0:
        dist.recv_object_list(parcel, owner, device=cpu)
    else:
        dist.send_object_list(parcel, 0, device=cpu)
    return parcel[0]

"""How the processes of a run meet in a store in which others have met before.

The store of a launcher outlives a process group, and even the processes: those that it has started
again find there the addresses, the signs of life and the last words of their predecessors. Each
meeting is therefore a name that only its own members know.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

    import torch.distributed as dist

CALL = "call"
LOOK = 0.02  # seconds between two looks


def appointment(store: dist.Store, rank: int, size: int, limit: timedelta) -> str:
    """A new name on which ``size`` processes have agreed, all of which are there.

    Process 0 calls, the others answer with a word of their own, and take the name once process 0
    has repeated that word: so nobody answers the call, or counts the answer, of a process that is
    gone. Raises ``TimeoutError`` where they do not all come within the ``limit``.
    """
    own, deadline = uuid.uuid4().hex, time.monotonic() + limit.total_seconds()
    if rank == 0:
        store.set(CALL, own)
    while time.monotonic() < deadline:
        found = _called(store, own, size) if rank == 0 else _answered(store, own, rank)
        if found:
            return found
        time.sleep(LOOK)
    raise TimeoutError(f"{size} processes have not met within {limit}")


def _called(store: dist.Store, own: str, size: int) -> str:
    """Process 0: repeat the words of all others, until each has found its own among them."""
    others = range(1, size)
    if not store.check([f"{own}/{rank}" for rank in others]):
        return ""
    words = [store.get(f"{own}/{rank}").decode() for rank in others]
    store.set(f"{own}/words", " ".join(words))
    return own if store.check([f"{own}/in/{word}" for word in words]) else ""


def _answered(store: dist.Store, own: str, rank: int) -> str:
    if not store.check([CALL]):
        return ""
    call = store.get(CALL).decode()
    store.set(f"{call}/{rank}", own)
    words = f"{call}/words"
    if not store.check([words]) or own not in store.get(words).decode().split():
        return ""
    store.set(f"{call}/in/{own}", "")
    return call

"""What torch.distributed offers here: its backends, and how a launcher says that it was stopped."""

from __future__ import annotations

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.api import SignalException as SignalException


def backends() -> list[str]:
    """The names of those that processes can talk through."""
    if not dist.is_available():
        return []
    there = {"gloo": dist.is_gloo_available(), "nccl": dist.is_nccl_available()}
    return [backend for backend, available in there.items() if available]

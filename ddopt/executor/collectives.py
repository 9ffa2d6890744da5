"""The collectives that torch renames between 2.11 and 2.15, each under the newest name.

The older name may be there for a while, and warns. Siblings of this one that nothing here calls
were renamed with it: ``gather_into_tensor`` to ``gather_single``, ``reduce_scatter_tensor`` to
``reduce_scatter_single``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Callable

all_gather_single: Callable[..., dist.Work | None] = (
    dist.all_gather_single if hasattr(dist, "all_gather_single") else dist.all_gather_into_tensor
)
"""Gather equal tensors of all processes into one: ``(output, input, group=, async_op=)``."""

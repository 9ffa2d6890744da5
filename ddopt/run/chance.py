"""Random state: seeding it, and keeping it in a checkpoint."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed(number: int) -> None:
    """Seed Python, NumPy and torch, for tasks that draw from the global generators."""
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)


def state() -> dict[str, Any]:
    """The state of all global generators, as tensors and plain numbers."""
    version, words, gauss = random.getstate()
    kind, numbers, position, has_gauss, cached = np.random.get_state()
    saved: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [
            str(kind),
            np.asarray(numbers).astype("int64").tolist(),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():
        saved["cuda"] = torch.cuda.get_rng_state_all()
    return saved


def restore(saved: dict[str, Any]) -> None:
    """Set all generators to what ``state`` gave."""
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words), gauss))
    kind, numbers, position, has_gauss, cached = saved["numpy"]
    keys = np.asarray(numbers, dtype="uint32")
    np.random.set_state((kind, keys, position, has_gauss, cached))
    torch.set_rng_state(saved["torch"].cpu())
    if "cuda" in saved and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([part.cpu() for part in saved["cuda"]])

"""Random numbers as functions of a seed and of what they are for, never of a global state.

Whoever draws the same thing draws the same numbers, in whatever order, process or device, and also
after a resume; nothing needs to be saved.
"""

from __future__ import annotations

import hashlib

import torch

MASK = 0xFFFFFFFF  # the mixing below works on 32 bits, kept in int64


def key(*what: int | str) -> int:
    """A number of 63 bits from a seed and the names of a purpose: ``key(seed, "order", epoch)``."""
    text = "\0".join(str(part) for part in what)
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*what: int | str) -> torch.Generator:
    """A CPU generator for one purpose, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(key(*what))


def mixed(numbers: torch.Tensor) -> torch.Tensor:
    """Integers below 2³² in no visible order, from integers; a bijection of 32-bit numbers.

    The constants are Mueller's for a 32-bit avalanche (two multiplications by 0x45d9f3b).
    """
    numbers = numbers & MASK
    for _ in range(2):
        numbers = ((numbers ^ (numbers >> 16)) * 0x45D9F3B) & MASK
    return numbers ^ (numbers >> 16)

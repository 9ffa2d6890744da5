"""Inner products of flat vectors, accumulated in float64 whatever the vectors are kept in.

A float32 model of half a million parameters loses four digits of <g, s> in float32, and the ratio
that decides a step is a quotient of such numbers.
"""

from __future__ import annotations

import hashlib
import math

import torch

CHUNK = 1 << 16  # float64 copies of float32 vectors stay in cache, and need no extra vector


def dot(a: torch.Tensor, b: torch.Tensor) -> float:
    """<a, b> of two vectors (n,), accumulated in float64."""
    if a.dtype == torch.float64:
        return float(torch.dot(a, b))
    if a.device.type != "cpu":
        return float(torch.sum(a * b, dtype=torch.float64))
    parts = zip(a.split(CHUNK), b.split(CHUNK), strict=True)
    return math.fsum(float(torch.dot(x.double(), y.double())) for x, y in parts)


def norm(a: torch.Tensor) -> float:
    """The 2-norm of a vector (n,), accumulated in float64."""
    return math.sqrt(dot(a, a))


def max_norm(a: torch.Tensor) -> float:
    """The ∞-norm of a vector (n,)."""
    return float(a.abs().max()) if a.numel() else 0.0


def fingerprint(a: torch.Tensor) -> str:
    """A short text that differs where a bit of the vector (n,) does."""
    data = a.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(data.data).hexdigest()[:16]


NORMS = {"2": norm, "inf": max_norm}

"""Dropout whose masks are a function of the draw and of the sample, so that f is one function.

torch's own dropout takes its masks from a global stream: the same θ has another loss at the next
evaluation, in another chunk or on another process, and a trust region's ratio measures noise.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from ddopt.numerics.randomness import MASK, key, mixed

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class _Noise:
    """Whose masks are wanted: a number for the draw, the samples, and the layers met so far."""

    draw: int
    samples: torch.Tensor  # shape: (batch,)
    layers: int = 0


_noise: ContextVar[_Noise | None] = ContextVar("noise", default=None)


@contextmanager
def dropping(draw: int, samples: torch.Tensor, before: int = 0) -> Iterator[None]:
    """Let :class:`Dropout` layers drop, for these ``samples`` (batch,) in this ``draw``.

    ``before`` is how often the stages before this one drop, where a network is cut.
    """
    token = _noise.set(_Noise(draw, samples, before))
    try:
        yield
    finally:
        _noise.reset(token)


class Dropout(nn.Module):
    """Zero each unit of each sample with probability p, and scale the others by 1/(1 − p).

    Drops inside :func:`dropping` only: whoever asks for a mask says for which samples, and who does
    not ask (a measurement, a generated text) gets none.
    """

    def __init__(self, p: float, uses: int = 1) -> None:
        super().__init__()
        self.p, self.uses = p, uses  # how often one pass through the network comes by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (batch, ...) with the masks of its samples."""
        noise = _noise.get()
        if noise is None or self.p == 0.0:
            return x
        noise.layers += 1
        layer = key(noise.draw, "dropout", noise.layers) & MASK
        samples = mixed(noise.samples.to(x.device) ^ layer)
        units = torch.arange(x[0].numel(), device=x.device)
        numbers = mixed(samples[:, None] + mixed(units + layer)).view(x.shape)
        return x * (numbers >= self.p * (MASK + 1)) / (1.0 - self.p)

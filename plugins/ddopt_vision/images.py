"""A set of labelled images on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np

ROOM = 4 << 30  # bytes of normalised images that are kept on a CPU


@dataclass(frozen=True)
class Raw:
    """Images as they come from a file: bytes (count, height, width[, channels]), and labels."""

    pixels: torch.Tensor
    labels: torch.Tensor  # shape: (count,)

    @classmethod
    def of(cls, pixels: torch.Tensor | np.ndarray, labels: object) -> Raw:
        """From what torchvision's data sets hold."""
        return cls(torch.as_tensor(pixels), torch.as_tensor(labels, dtype=torch.int64))

    def first(self, count: int | None) -> Raw:
        """The first images only."""
        return self if count is None else Raw(self.pixels[:count], self.labels[:count])


class Images:
    """Normalised images (count, channels, height, width), normalised once where they fit.

    A set that would take too much memory stays as bytes, and what is taken from it is normalised.
    """

    def __init__(
        self,
        raw: Raw,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        pixels = raw.pixels
        if pixels.ndim == 3:
            pixels = pixels.unsqueeze(3)
        self.labels = raw.labels.to(device)
        self._dtype = dtype
        self._mean = torch.tensor(mean, dtype=dtype, device=device).view(-1, 1, 1)
        self._std = torch.tensor(std, dtype=dtype, device=device).view(-1, 1, 1)
        self._pixels = pixels.permute(0, 3, 1, 2).contiguous().to(device)
        if self._pixels.numel() * dtype.itemsize <= _room(device):
            self._pixels = self._normalised(self._pixels)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of one image."""
        channels, height, width = self._pixels.shape[1:]
        return channels, height, width

    def inputs(self, index: torch.Tensor | slice) -> torch.Tensor:
        """The normalised images at ``index``, shape (batch, channels, height, width)."""
        chosen = self._pixels[index]
        return chosen if chosen.is_floating_point() else self._normalised(chosen)

    def shown(self, index: torch.Tensor) -> torch.Tensor:
        """The images at ``index`` for people, in [0, 1], shape (batch, height, width, channels)."""
        images = self.inputs(index) * self._std + self._mean
        return images.clamp(0.0, 1.0).permute(0, 2, 3, 1).cpu()

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.to(self._dtype).div_(255.0).sub_(self._mean).div_(self._std)


def _room(device: torch.device) -> int:
    """Bytes that normalised images may take: half of what is free on a GPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    return ROOM

"""The standard augmentation, random crops and reflections, as a function of draw and sample."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from ddopt.numerics.randomness import MASK, key, mixed


def augmented(
    images: torch.Tensor, samples: torch.Tensor, draw: int, padding: int, reflect: bool
) -> torch.Tensor:
    """``images`` (batch, channels, height, width), each padded, cropped and maybe reflected.

    How, depends on ``draw`` and on the image's number in ``samples`` (batch,) alone: an image looks
    the same in every chunk, micro-batch and trial of an iteration.
    """
    numbers = mixed(mixed(samples) ^ (key(draw, "crop") & MASK))
    span = 2 * padding + 1
    top, left = numbers % span, (numbers // span) % span
    height, width = images.shape[2:]
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device).expand(len(images), width)
    if reflect:
        mirrored = (numbers // span**2) % 2 == 1
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    columns = left[:, None] + columns
    padded = pad(images, (padding,) * 4)
    which = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

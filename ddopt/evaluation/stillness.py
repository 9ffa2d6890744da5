"""What a closure changes beside the gradients: buffers and random states, put back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt.evaluation.point import Point


class Stillness:
    """Keeps f one function: every evaluation sees the same buffers and the same random numbers.

    Without it, the running means of a BatchNorm layer and the masks of a dropout layer would differ
    between an iterate and its trial, and the ratio would measure noise. What an evaluation leaves
    in them is the trace of its point. Afterwards both are as the point that is kept has left them:
    a rejected trial leaves nothing.
    """

    def __init__(self, buffers: Sequence[torch.Tensor], device: torch.device) -> None:
        self._buffers = list(buffers)
        self._device = device
        self._before = self.snapshot()
        self._disturbed = False
        self.finished = False  # the step that this belongs to
        self._outside: list[torch.Tensor] | None = None

    def snapshot(self) -> list[torch.Tensor]:
        """The random states and copies of the buffers, as they are now."""
        states = [torch.random.get_rng_state()]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        return states + [buffer.detach().clone() for buffer in self._buffers]

    def _restore(self, snapshot: list[torch.Tensor]) -> None:
        torch.random.set_rng_state(snapshot[0])
        rest = snapshot[1:]
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(rest[0], self._device)
            rest = rest[1:]
        for buffer, kept in zip(self._buffers, rest, strict=True):
            buffer.detach().copy_(kept)

    def __enter__(self) -> None:
        if self.finished:  # a checkpoint asks for a gradient
            self._outside = self.snapshot()
        self._disturbed = True
        self._restore(self._before)

    def __exit__(self, *exception: object) -> None:
        """In a step nothing: the next evaluation, or ``finish``, restores what it needs."""
        if self._outside is not None:
            self._restore(self._outside)

    def finish(self, point: Point | None) -> None:
        """Leave buffers and random numbers as the kept ``point`` left them.

        They are as before where it was evaluated in an earlier step, or on another process.
        """
        self.finished = True
        trace = None if point is None else point.trace
        if self._disturbed:
            self._restore(self._before if trace is None else trace)
        if point is not None:
            point.trace = None  # of this step only: what comes between two steps stays

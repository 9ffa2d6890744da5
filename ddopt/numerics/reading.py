"""Numbers on their way from the device; those that wait are read together.

A number that decides something must come to the host, and until it has come the host stands still:
on a GPU each reading costs more than the arithmetic of a small network. So who computes a number
that is not needed at once gets a :class:`Later`. The first one that is needed brings all that wait.
Numbers of the host itself are read one by one, which costs less than stacking them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from operator import itemgetter
from typing import Any
from weakref import ref

import torch

Number = Callable[[], float]  # a number that may be on its way, and is there when it is called

MANY = 1000  # that wait, before those that nobody holds any more are looked for


def waits(entries: torch.Tensor) -> bool:
    """Whether the host has to wait for ``entries``; tests of what a device costs say yes to all."""
    return not entries.is_cpu


class _Waiting(threading.local):
    """What this thread has computed and not read; what nobody holds any more is never read."""

    def __init__(self) -> None:
        self.numbers: list[ref[Later]] = []

    def add(self, number: Later) -> None:
        if len(self.numbers) >= MANY:
            self.numbers = [one for one in self.numbers if one() is not None]
        self.numbers.append(ref(number))

    def taken(self, needed: Later, device: torch.device) -> list[Later]:
        """Those that are read with the one that is needed; they wait no longer."""
        together, self.numbers, waiting = [needed], [], self.numbers
        for one in waiting:
            number = one()
            if number is None or number is needed or number.entries is None:
                continue
            if number.entries.device == device:
                together.append(number)
            else:
                self.numbers.append(one)
        return together


_waiting = _Waiting()


class Later:
    """Entries of a tensor that are read when it is called, with all others that wait.

    Args:
        entries: of any shape and real dtype; nobody may write to them before they are read.
        finish: what is returned, made from their list of floats; by default the first of them.
    """

    __slots__ = ("__weakref__", "_finish", "_found", "_read", "entries")
    entries: torch.Tensor | None  # None once they have been read

    def __init__(
        self, entries: torch.Tensor, finish: Callable[[list[float]], Any] = itemgetter(0)
    ) -> None:
        self.entries = entries.detach() if entries.requires_grad else entries
        self._finish = finish
        self._read: list[float] | None = None  # until it is finished
        self._found: Any = None
        if waits(entries):
            _waiting.add(self)

    def __call__(self) -> Any:
        """What ``finish`` makes of the entries."""
        entries = self.entries
        if entries is not None:
            if waits(entries):
                _bring(_waiting.taken(self, entries.device))
            else:
                single = entries.ndim == 0
                self.take([float(entries)] if single else _double(entries).reshape(-1).tolist())
        if self._read is not None:
            self._found, self._read = self._finish(self._read), None
        return self._found

    def take(self, numbers: list[float]) -> None:
        """Hear what the entries are."""
        self.entries, self._read = None, numbers


def _bring(together: list[Later]) -> None:
    """Read the entries of all of them, which are on one device."""
    parts = [_double(one.entries) for one in together if one.entries is not None]
    if all(part.ndim == 0 for part in parts):
        for one, number in zip(together, torch.stack(parts).tolist(), strict=True):
            one.take([number])
        return
    rows = [part.reshape(-1) for part in parts]
    numbers = torch.cat(rows).tolist()
    for one, row in zip(together, rows, strict=True):
        one.take(numbers[: (count := row.numel())])
        del numbers[:count]


def _double(entries: torch.Tensor) -> torch.Tensor:
    return entries if entries.dtype == torch.float64 else entries.double()

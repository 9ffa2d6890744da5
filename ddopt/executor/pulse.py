"""Signs of life: how the processes of a run find out which of them is gone.

A collective that fails, or waits, says only that *somebody* is missing. Each process therefore
counts up a key of its own in the store that they met in, once a second, from a thread; and whoever
first finds out what went wrong writes it down there for the others.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch.distributed as dist

BEAT = 1.0  # seconds between two signs of life
BROKEN = 6.0  # silence, in seconds, that explains a collective that failed
STUCK = 40.0  # silence that ends the wait for one that has not: a busy process may miss a few beats
CAUSE = "cause"
LAUNCHER = "DDOPT_LAUNCHER"  # the id of the process that started this one and takes it along


class RankLostError(RuntimeError):
    """A process of the run is gone, and the others cannot go on without it."""


class Pulse:
    """The signs of life of all processes, as one of them sends and sees them."""

    def __init__(self, store: dist.Store, rank: int, size: int) -> None:
        self._store, self._rank, self._size = store, rank, size
        self._seen = dict.fromkeys(range(size), -1)  # the last count of each process ...
        self._since = dict.fromkeys(range(size), time.monotonic())  # ... and when it changed
        parent = str(os.getppid())
        self._launcher = parent if os.environ.get(LAUNCHER) == parent else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="ddopt-pulse")
        self._own_store = store.clone()  # a store blocks while another thread waits in it
        self._thread.start()

    def _beat(self) -> None:
        heard = True
        while heard or self._launcher:
            if self._launcher and self._launcher != str(os.getppid()):
                os._exit(1)  # nobody is left to end a process that waits, or hears no signal
            try:
                self._own_store.add(f"beat/{self._rank}", 1)
            except RuntimeError:  # the store went down with the process that held it
                heard = False
            if self._stop.wait(BEAT):
                return

    def stop(self) -> None:
        """Send no more."""
        self._stop.set()
        self._thread.join()

    def confess(self, error: BaseException) -> None:
        """Tell the others that this process ends because of ``error``."""
        if not isinstance(error, RankLostError):
            self._record(f"rank {self._rank} failed with {type(error).__name__}: {error}")

    def check(self, patience: float) -> None:
        """Raise :class:`RankLostError` if somebody has confessed, or is silent for so long."""
        try:
            if self._store.check([CAUSE]):
                raise RankLostError(_message(self._store.get(CAUSE).decode()))
            silent = self._silent(patience)
            if silent:
                plural = "s" if len(silent) > 1 else ""
                names = ", ".join(map(str, silent))
                cause = f"rank{plural} {names} gave no sign of life for {patience:g} s"
                self._record(cause)
                raise RankLostError(_message(cause))
        except RankLostError:
            raise
        except RuntimeError as error:
            raise RankLostError(
                _message("rank 0, or the launcher, which keeps the store, is gone")
            ) from error

    def diagnose(self, error: Exception) -> None:
        """Raise :class:`RankLostError` naming the process because of which ``error`` happened."""
        deadline = time.monotonic() + BROKEN + 2.0 * BEAT
        while time.monotonic() < deadline:
            try:
                self.check(BROKEN)
            except RankLostError as lost:
                raise lost from error
            time.sleep(0.2)
        raise error  # everybody is alive: it is something else

    def _silent(self, patience: float) -> list[int]:
        now = time.monotonic()
        for rank in range(self._size):
            count = self._store.add(f"beat/{rank}", 0)
            if count != self._seen[rank]:
                self._seen[rank], self._since[rank] = count, now
        return [rank for rank, since in self._since.items() if now - since >= patience]

    def _record(self, cause: str) -> None:
        try:
            if not self._store.check([CAUSE]):
                self._store.set(CAUSE, cause)
        except RuntimeError:
            pass  # nobody is left to read it


def _message(cause: str) -> str:
    return f"{cause}; this process stops too. What that rank wrote last says more"

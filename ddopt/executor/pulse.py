"""Signs of life: how the processes of a run find out which of them is gone.

A collective that fails, or waits, does not say which process is missing. So a thread of each
process adds 1 to a key of its own in their store, once a second. The process that first learns the
cause of a failure writes it into the store, and the others read it there.
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
KEEPER = "rank 0, or the launcher, which keeps the store"
LAUNCHER = "DDOPT_LAUNCHER"  # the id of the process that started this one and takes it along


class RankLostError(RuntimeError):
    """A process of the run is gone, and the others cannot go on without it."""


class Pulse:
    """Sends this process's signs of life, and reads those of the others.

    The executor ``distributed`` makes one for each process, calls ``check`` while it waits for a
    collective, ``diagnose`` when one has failed, ``confess`` when the run ends by an error, and
    ``stop`` at the end. Only the thread uses the store: the process that keeps the store may have
    stopped, and then the store never answers. The thread reads the keys of the others after each
    call of ``check``.

    Args:
        store: the one in which the processes met.
        rank: of this process.
        size: the number of processes.
    """

    def __init__(self, store: dist.Store, rank: int, size: int) -> None:
        self._rank = rank
        self._seen = dict.fromkeys(range(size), -1)  # the last count of each process ...
        self._since = dict.fromkeys(range(size), time.monotonic())  # ... and when it changed
        self._looked = time.monotonic()  # when the others were last seen
        self._cause, self._gone = "", False  # what went wrong; whether the store has
        self._unsaid: str | None = None  # a cause that the others are to be told
        self._waited = 0.0  # for the next look, in seconds;
        self._asked = self._heard = self._looked  # at the last check: its time, the look it saw
        parent = str(os.getppid())
        self._launcher = parent if os.environ.get(LAUNCHER) == parent else None
        self._stop, self._wake, self._told = (threading.Event() for _ in range(3))
        self._thread = threading.Thread(target=self._beat, daemon=True, name="ddopt-pulse")
        self._store = store.clone()  # a store blocks while another thread waits in it
        self._thread.start()

    def _beat(self) -> None:
        beaten = -BEAT
        while not self._stop.is_set() and (self._launcher or not self._gone):
            if self._launcher and self._launcher != str(os.getppid()):
                os._exit(1)  # nobody is left to end a process that waits, or hears no signal
            asked = self._wake.is_set()
            self._wake.clear()
            try:
                if not self._gone and time.monotonic() - beaten >= BEAT:
                    beaten = time.monotonic()
                    self._store.add(f"beat/{self._rank}", 1)
                if not self._gone:
                    self._talk(asked)
            except RuntimeError:  # the store went down with the process that held it
                self._gone = True
            (self._stop if self._gone else self._wake).wait(BEAT)

    def _talk(self, asked: bool) -> None:
        if self._unsaid is not None:
            if not self._store.check([CAUSE]):
                self._store.set(CAUSE, self._unsaid)
            self._unsaid = None
            self._told.set()
        if not asked:
            return
        if self._store.check([CAUSE]):
            self._cause = self._store.get(CAUSE).decode()
        for rank in self._seen:
            count = self._store.add(f"beat/{rank}", 0)
            if count != self._seen[rank]:
                self._seen[rank], self._since[rank] = count, time.monotonic()
        self._looked = time.monotonic()

    def stop(self) -> None:
        """End the thread, and wait for it for two seconds at most.

        A thread that returns from the store while the interpreter shuts down aborts the process. It
        may never return, where the process that keeps the store has stopped.
        """
        self._stop.set()
        self._wake.set()
        self._thread.join(2.0 * BEAT)

    def confess(self, error: BaseException) -> None:
        """Tell the others that this process ends because of ``error``."""
        if not isinstance(error, RankLostError):
            self._record(f"rank {self._rank} failed with {type(error).__name__}: {error}")

    def check(self, patience: float) -> None:
        """Raise :class:`RankLostError` if a process has failed, or is silent for ``patience`` s.

        It asks the thread to read the keys of the others, and judges by its last reading.
        """
        self._wake.set()
        if self._cause:
            raise RankLostError(_message(self._cause))
        if self._gone:
            raise RankLostError(_message(f"{KEEPER}, is gone"))
        looked, since = self._looked, dict(self._since)
        silent = [rank for rank, last in since.items() if looked - last >= patience]
        if silent:
            plural = "s" if len(silent) > 1 else ""
            names = ", ".join(map(str, silent))
            cause = f"rank{plural} {names} gave no sign of life for {patience:g} s"
            self._record(cause)
            raise RankLostError(_message(cause))
        if self._waits(looked) >= patience:
            raise RankLostError(_message(f"{KEEPER}, gave no sign of life for {patience:g} s"))

    def _waits(self, looked: float) -> float:
        """Seconds since a reading was asked for, without those in which this process stood."""
        now = time.monotonic()
        passed, self._asked = min(now - self._asked, 2.0 * BEAT), now
        self._waited = 0.0 if looked > self._heard else self._waited + passed
        self._heard = looked
        return self._waited

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

    def _record(self, cause: str) -> None:
        """Let the thread write ``cause`` into the store, and wait for it two seconds at most."""
        self._unsaid = cause
        self._wake.set()
        if not self._gone:
            self._told.wait(2.0 * BEAT)


def _message(cause: str) -> str:
    return f"{cause}; this process stops too. What that rank wrote last says more"

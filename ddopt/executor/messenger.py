"""Waiting for messages between two processes, for as long as they take.

The wait for a message over gloo cannot be cut short: where its time is up gloo gives the connection
up too, and with it every later message. Who waits for a message and must look round meanwhile lets
somebody else wait. (A collective can be waited for piecemeal.)
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch.distributed as dist


class Messenger:
    """A thread that waits for messages, one after the other, without a limit of its own."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[dist.Work, Future[None]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def arrival(self, work: dist.Work) -> Future[None]:
        """What is done when the message has come, or has left; with the error if it cannot."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, daemon=True, name="ddopt-messenger")
            self._thread.start()
        arrived: Future[None] = Future()
        self._waiting.put((work, arrived))
        return arrived

    def _wait(self) -> None:
        while (entry := self._waiting.get()) is not None:
            try:
                entry[0].wait()
            except RuntimeError as error:
                entry[1].set_exception(error)
            else:
                entry[1].set_result(None)
            del entry  # the process group ends with the last reference to its work

    def stop(self) -> None:
        """End the thread; no message may be outstanding."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

"""Ctrl-C, SIGTERM and SIGHUP: the first lets the iteration end, the second does not."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

HANG_UP = getattr(signal, "SIGHUP", signal.SIGTERM)  # the terminal has gone; not on every system
SIGNALS = tuple(dict.fromkeys((signal.SIGINT, signal.SIGTERM, HANG_UP)))
ONE = 2.0  # seconds in which signals count as one: a launcher passes on what all have received


class Interrupt:
    """While it is entered, a signal sets ``asked`` instead of raising."""

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        """Take the signals over; only the main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number != HANG_UP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.asked and now - self._since > ONE:
            raise KeyboardInterrupt
        self._since = now if not self.asked else self._since
        self.asked = True


def ignore() -> None:
    """Let no launcher end this process any more, which has saved everything and says so."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, HANG_UP):
            signal.signal(number, signal.SIG_IGN)

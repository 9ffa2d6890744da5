"""One line about the run of a comparison that goes on: which of how many, and how far it is."""

from __future__ import annotations

import sys
import time
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from ddopt.run.progress import cell, far

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TextIO

    from ddopt.setup.config import Stop

LIVE, PLAIN = 0.5, 30.0  # seconds between two lines, in a terminal and elsewhere


class Ticker:
    """Shows the lines of one run; in a terminal each takes the place of the one before."""

    def __init__(self, label: str, stop: Stop, stream: TextIO | None = None) -> None:
        self._label, self._stop = label, stop
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._last = time.monotonic() if not self._live else 0.0
        self._merit = ""

    def show(self, line: dict[str, Any]) -> None:
        """Show a line of the record, if the one before is old enough."""
        for key in ("error", "accuracy", "validation_loss"):
            if line.get(key) is not None:
                self._merit = f"{key} {cell(line[key])}"
                break
        now = time.monotonic()
        if now - self._last < (LIVE if self._live else PLAIN):
            return
        self._last = now
        pieces = [far(self._stop, line), self._merit, f"loss {cell(line['loss'])}"]
        if self._live:
            room = get_terminal_size().columns - 1
            self._stream.write(f"\r{fitted(self._label, filter(None, pieces), room):<{room}}")
        else:
            self._stream.write(f"{self._label}: {', '.join(filter(None, pieces))}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the line empty."""
        if self._live:
            self._stream.write(f"\r{'':<{get_terminal_size().columns - 1}}\r")
            self._stream.flush()


def fitted(label: str, pieces: Iterable[str], room: int) -> str:
    """The label and the pieces that fit, the first one first: a number is whole or left out."""
    text, sign = label[:room], ": "
    for piece in pieces:
        if len(text) + len(sign) + len(piece) > room:
            break
        text, sign = f"{text}{sign}{piece}", ", "
    return text

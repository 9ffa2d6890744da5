"""One line about the run of a comparison that goes on: which of how many, and how far it is."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from ddopt.run.progress import cell, far

if TYPE_CHECKING:
    from typing import TextIO

    from ddopt.setup.config import Stop

LIVE, PLAIN = 0.5, 30.0  # seconds between two lines, in a terminal and elsewhere
WIDTH = 79


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
                self._merit = f", {key} {cell(line[key])}"
                break
        now = time.monotonic()
        if now - self._last < (LIVE if self._live else PLAIN):
            return
        self._last = now
        text = f"{self._label}: {far(self._stop, line)}, loss {cell(line['loss'])}{self._merit}"
        if self._live:
            self._stream.write(f"\r{text[:WIDTH]:<{WIDTH}}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the line empty."""
        if self._live:
            self._stream.write(f"\r{'':<{WIDTH}}\r")
            self._stream.flush()

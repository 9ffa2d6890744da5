"""What a person sees of a run in a notebook: one table, brought up to date in its place."""

from __future__ import annotations

import html
import io
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ddopt.run.progress import ROWS, Progress

if TYPE_CHECKING:
    from ddopt.setup.config import Stop

EVERY = 0.5  # seconds between two pictures of the table
WIDTH = 100  # characters


class Notebook(Progress):
    """The table of a run below a notebook's cell."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop, Console(file=io.StringIO(), width=WIDTH, force_jupyter=False))
        self._handle: Any = None  # of the output, once there is one

    def show(self, line: dict[str, Any]) -> None:
        """Take a line into the table, and show it if the table before is old enough."""
        self._note(line)
        self._rows = [*self._rows, line][-ROWS:]
        if time.monotonic() - self._last >= EVERY:
            self._draw()

    def close(self) -> None:
        """Show the last lines."""
        if self._rows:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        self._last = time.monotonic()
        with self.console.capture() as captured:
            self.console.print(self._view())
        text = captured.get()
        shown = {"text/plain": text, "text/html": f"<pre>{html.escape(text)}</pre>"}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def display_of(stop: Stop) -> Progress:
    """The display for where this process runs: a notebook, a terminal, or plain lines."""
    console = Console(highlight=False, soft_wrap=True)
    return Notebook(stop) if console.is_jupyter else Progress(stop, console)

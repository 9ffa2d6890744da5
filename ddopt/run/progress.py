"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from ddopt.setup.config import Stop

EVERY = 5.0  # seconds between two plain lines
COLUMNS = ("iteration", "loss", "ratio", "radius", "accepted", "rejected", "evaluations")
MERITS = ("error", "accuracy", "validation_loss")  # what a problem reports, as far as it does
ROWS = 12  # of the live table


class Progress:
    """Shows the lines of the record as they come."""

    def __init__(self, stop: Stop, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._stop = stop
        self._rows: list[dict[str, Any]] = []
        self._last = float("-inf")
        self._unshown: dict[str, Any] | None = None
        self._merit: dict[str, str] = {}  # the last measured error, accuracy or validation loss
        self._live = Live(console=self.console, refresh_per_second=4, transient=False)
        if self.console.is_terminal:
            self._live.start()

    def show(self, line: dict[str, Any]) -> None:
        """Show one line of the record, or keep it until it is time."""
        merit = {key: cell(line[key]) for key in MERITS if key in line}
        if merit:
            old = f" (iteration {line['iteration']})"  # what is shown later is not of then
            self._merit = {key: value + old for key, value in merit.items()}
        line = {**line, **(merit or self._merit)}
        if self.console.is_terminal:
            self._rows = [*self._rows, line][-ROWS:]
            self._live.update(self._table())
        elif time.monotonic() - self._last >= EVERY:
            self._print(line)
        else:
            self._unshown = line

    def close(self) -> None:
        """Show what has not been shown, and leave the terminal as it was."""
        if self.console.is_terminal:
            self._live.stop()
        elif self._unshown is not None:
            self._print(self._unshown)

    def _print(self, line: dict[str, Any]) -> None:
        shown = [f"{key} {cell(line[key])}" for key in (*COLUMNS, *MERITS) if key in line]
        self.console.print("  ".join(shown))
        self._last, self._unshown = time.monotonic(), None

    def _table(self) -> Table:
        columns = [*COLUMNS, *self._merit]
        table = Table(caption=self._remaining(), caption_justify="left")
        for column in columns:
            table.add_column(column, justify="right")
        for row in self._rows:
            table.add_row(*(cell(row.get(column)) for column in columns))
        return table

    def _remaining(self) -> str:
        """How far the run is, of whatever limits it."""
        line = self._rows[-1]
        limits = (("iterations", "iteration"), ("evaluations", "evaluations"), ("seconds",) * 2)
        return "  ".join(
            f"{cell(line[column])} of {cell(limit)} {key}"
            for key, column in limits
            if (limit := getattr(self._stop, key)) is not None
        )


def cell(value: Any) -> str:
    """A number as people read it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:.4g}"

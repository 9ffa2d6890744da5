"""What a person sees while a run goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from ddopt.setup.config import Stop

EVERY = 5.0  # seconds between two plain lines
COLUMNS = ("iteration", "loss", "ratio", "radius", "accepted", "rejected", "evaluations")
MERITS = ("error", "accuracy", "validation_loss")  # what a problem reports, as far as it does
KEPT = ("iteration", "loss", *MERITS, "evaluations", "radius", "ratio", "rejected", "accepted")
HEADS = {"iteration": "iter", "evaluations": "evals", "validation_loss": "validation"}
ROWS = 12  # of the live table
BAR = 40  # characters of the bar
LIMITS = (  # of a run, each with the column of its record that comes up to it
    *(("iterations", "iteration"), ("evaluations", "evaluations"), ("seconds", "seconds")),
    ("processor_seconds", "processor_seconds"),
)


class Display(Protocol):
    """Whoever shows the lines of a record as they come."""

    def show(self, line: dict[str, Any]) -> None:
        """Show one line, or leave it out."""

    def close(self) -> None:
        """Show no more."""


class Silence:
    """Shows nothing."""

    def show(self, line: dict[str, Any]) -> None:
        """Leave it out."""

    def close(self) -> None:
        """Nothing is open."""


class Progress:
    """Shows the lines of the record as they come."""

    def __init__(self, stop: Stop, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._stop = stop
        self._rows: list[dict[str, Any]] = []
        self._first: dict[str, Any] = {}  # the line that this process began with
        self._last = float("-inf")
        self._unshown: dict[str, Any] | None = None
        self._merit: dict[str, str] = {}  # the last measured error, accuracy or validation loss
        self._measured = 0  # and the iteration in which it was
        self._live: Live | None = None
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, transient=False)
            self._live.start()

    def show(self, line: dict[str, Any]) -> None:
        """Show one line of the record, or keep it until it is time."""
        self._first = self._first or line
        merit = {key: cell(line[key]) for key in MERITS if key in line}
        if merit:
            self._merit, self._measured = merit, line["iteration"]
        if self._live is not None:
            self._rows = [*self._rows, line][-ROWS:]
            self._live.update(self._view())
        elif time.monotonic() - self._last >= EVERY:
            self._print(line)
        else:
            self._unshown = line

    def close(self) -> None:
        """Show what has not been shown, and leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
        elif self._unshown is not None:
            self._print(self._unshown)

    def _print(self, line: dict[str, Any]) -> None:
        old = "" if self._measured == line["iteration"] else f" (iteration {self._measured})"
        shown = [f"{key} {cell(line[key])}" for key in COLUMNS if key in line]
        shown += [f"{key} {value}{old}" for key, value in self._merit.items()]
        self.console.print("  ".join([*shown, *self._time(line)]), soft_wrap=True)
        self._last, self._unshown = time.monotonic(), None

    def _view(self) -> Group:
        """The table, a bar, and how long it has taken and will take."""
        line = self._rows[-1]
        done = share(self._stop, line)
        words = "  ".join([far(self._stop, line), *self._time(line)])
        if self._merit and self._measured != line["iteration"]:
            merits = ", ".join(f"{key} {value}" for key, value in self._merit.items())
            words += f"\n{merits} (iteration {self._measured})"
        below = Table.grid()
        if done is not None:
            below.add_row(ProgressBar(total=1.0, completed=done, width=BAR))
        below.add_row(Text(words))
        return Group(self._table(), below)

    def _table(self) -> Table:
        """As many columns as have room, so that no number is cut."""
        there = [key for key in KEPT if key not in MERITS or key in self._merit]
        texts = {key: [cell(row[key]) if key in row else "" for row in self._rows] for key in there}
        heads = {key: HEADS.get(key, key) for key in there}
        chosen = fitting(
            {key: max(len(heads[key]), *map(len, texts[key])) for key in there}, self.console.width
        )
        table = Table()
        for key in chosen:
            table.add_column(heads[key], justify="right", no_wrap=True)
        for row, number in zip(self._rows, range(len(self._rows)), strict=True):
            style = "" if row.get("step_accepted", True) else "yellow"  # a step that was rejected
            table.add_row(*(texts[key][number] for key in chosen), style=style)
        return table

    def _time(self, line: dict[str, Any]) -> list[str]:
        """Elapsed time, and what is left by the limit that is nearest."""
        said = [f"elapsed {duration(line['seconds'])}"] if "seconds" in line else []
        before, now = share(self._stop, self._first), share(self._stop, line)
        if said and before is not None and now is not None and now > before and now < 1.0:
            spent = line["seconds"] - self._first["seconds"]
            said.append(f"left {duration(spent * (1.0 - now) / (now - before))}")
        return said


def fitting(widths: dict[str, int], room: int) -> list[str]:
    """The columns, in order of priority, that fit beside each other; three always do."""
    used = 1
    chosen: list[str] = []
    for key, width in widths.items():
        used += width + 3  # a blank on each side, and a line
        if used > room and len(chosen) >= 3:
            break
        chosen.append(key)
    return chosen


def far(stop: Stop, line: dict[str, Any]) -> str:
    """How far a run is, of whatever limits it."""
    return "  ".join(
        f"{cell(line[column])} of {cell(limit)} {key}"
        for key, column in LIMITS
        if (limit := getattr(stop, key)) is not None
    )


def share(stop: Stop, line: dict[str, Any]) -> float | None:
    """The share of the limit that is nearest; None where only a goal ends the run."""
    found = [
        line[column] / limit
        for key, column in LIMITS
        if (limit := getattr(stop, key)) and limit != float("inf") and column in line
    ]
    return min(1.0, max(found)) if found else None


def duration(seconds: float) -> str:
    """Seconds as people read them: 8.3 s, 4:05, 1:02:03."""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def cell(value: Any) -> str:
    """A number as people read it."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int) else f"{value:.4g}"

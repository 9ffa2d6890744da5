"""The figure of a comparison: what was reached against what was paid."""

from __future__ import annotations

import math
from bisect import bisect_right
from statistics import median_high, median_low
from typing import TYPE_CHECKING, Any

from ddopt import figures
from ddopt.compare.score import merit_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ddopt.compare.score import Merit, Outcome, Row

Look = tuple[str, str]  # the colour of a line, and its style
COLOURS = ("#2a6f97", "#d1603d", "#3f8f5b", "#7b5ea7", "#b8860b", "#8c4a5b", "#4f9da6", "#6b7280")
POINTS = 200  # at which the seeds are looked at together
AXES = (("evaluations", "full-gradient evaluations, parallel"), ("seconds", "seconds"))


def draw(folder: Path, rows: Sequence[Row], title: str, seeds: int) -> Path:
    """Draw ``figure.png``: median and range over the seeds, against evaluations and seconds."""
    merit = merit_of(rows)
    made = figures.figure(11.5, 4.4)
    band = "median, and the range of the seeds" if seeds > 1 else "one seed"
    figures.heading(made, title, f"{merit.label}: {band}")
    for column, (key, label) in enumerate(AXES):
        axes = made.add_subplot(1, 2, column + 1)
        looks = [(COLOURS[i % len(COLOURS)], "-" if i < 8 else "--") for i in range(len(rows))]
        panel(axes, rows, key, merit, looks)
        axes.set_xlabel(label, fontsize=9.5, color=figures.MUTED)
        if key == "seconds":
            logarithmic(axes)
    handles, labels = made.axes[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    return figures.save(made, folder / "figure.png")


def panel(axes: Any, rows: Sequence[Row], key: str, merit: Merit, looks: Sequence[Look]) -> None:
    """Draw one figure of merit of all rows against a key of their lines; a look for each row."""
    figures.plain(axes)
    for row, look in zip(rows, looks, strict=True):
        _draw(axes, row, key, merit, *look)
    axes.set_ylabel(merit.label, fontsize=9.5, color=figures.MUTED)
    axes.margins(x=0.02)
    if not merit.higher:
        axes.set_yscale("log")


def logarithmic(axes: Any) -> None:
    """Make x logarithmic; a start at 0 s is left out, not drawn as a line from the far left."""
    axes.set_xscale("log", nonpositive="mask")


def _draw(axes: Any, row: Row, key: str, merit: Merit, colour: str, style: str) -> None:
    """The median of the seeds as a line, their range as a band."""
    curves = [_curve(outcome, key, merit) for outcome in row.outcomes]
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    first = max(curve[0][0] for curve in curves)
    last = min(curve[-1][0] for curve in curves)
    grid = sorted({x for curve in curves for x, _ in curve if first <= x <= last})
    grid = grid[:: max(1, len(grid) // POINTS)] + grid[-1:]
    columns = [[_at(curve, x) for curve in curves] for x in grid]
    axes.plot(grid, list(map(_middle, columns)), color=colour, ls=style, lw=1.7, label=row.title)
    if len(curves) > 1:
        low, high = list(map(min, columns)), list(map(max, columns))
        axes.fill_between(grid, low, high, color=colour, alpha=0.15, lw=0)


def _middle(values: list[float]) -> float:
    """The median; of an even number of positive values the geometric mean of the two inner ones."""
    low, high = median_low(values), median_high(values)
    return math.sqrt(low * high) if low > 0.0 else 0.5 * (low + high)


def _curve(outcome: Outcome, key: str, merit: Merit) -> list[tuple[float, float]]:
    found = [(line[key], line.get(merit.key)) for line in outcome.lines]
    return [(float(x), float(y)) for x, y in found if y is not None and math.isfinite(y)]


def _at(curve: list[tuple[float, float]], x: float) -> float:
    """The last value that was known at ``x``."""
    return curve[max(0, bisect_right([point[0] for point in curve], x) - 1)][1]

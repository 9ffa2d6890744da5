"""The figure of a comparison: what was reached against what was paid."""

from __future__ import annotations

import math
from bisect import bisect_right
from statistics import median_high, median_low
from typing import TYPE_CHECKING, Any

from ddopt import figures
from ddopt.compare.score import merit_of
from ddopt.palette import FAINT, INK, MUTED, looks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ddopt.compare.score import Merit, Outcome, Row
    from ddopt.palette import Look

POINTS = 200  # at which the seeds are looked at together
AXES = (
    ("evaluations", "evaluations per process"),
    ("processor_seconds", "processor seconds, all processes"),
)
TOGETHER = 6  # rows that one panel can show
ACROSS = 3  # panels side by side


def draw(folder: Path, rows: Sequence[Row], title: str, seeds: Sequence[int]) -> list[Path]:
    """Draw median and range over the seeds, against evaluations and seconds; returns the files.

    Up to six rows share the panels of ``figure.png``. Of more, each method has a panel of its own,
    with the others behind it in grey, in ``figure.png`` and ``figure-seconds.png``.
    """
    merit = merit_of(rows)
    which = ", ".join(map(str, seeds))
    band = f"median and range of seeds {which}" if len(seeds) > 1 else f"seed {which}"
    detail = f"{merit.label}: {band}"
    order = sorted(range(len(rows)), key=lambda i: rows[i].subdomains)  # marks go by N
    given = looks((rows[i].label.partition(",")[0], rows[i].look) for i in order)
    found = [given[order.index(i)] for i in range(len(rows))]
    if len(rows) <= TOGETHER:
        made = figures.figure(11.5, 4.4)
        for column, (key, label) in enumerate(AXES):
            axes = made.add_subplot(1, 2, column + 1)
            panel(axes, rows, key, merit, found)
            axes.set_xlabel(label, fontsize=9.5, color=MUTED)
            if key.endswith("seconds"):
                logarithmic(axes)
        figures.heading(made, title, detail)
        handles, labels = made.axes[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside right center", fontsize=9, **figures.LEGEND)
        return [figures.save(made, folder / "figure.png")]
    names = ("figure.png", "figure-seconds.png")
    return [
        figures.save(multiples(rows, axis, merit, found, (title, detail)), folder / name)
        for axis, name in zip(AXES, names, strict=True)
    ]


def multiples(
    rows: Sequence[Row],
    axis: tuple[str, str],
    merit: Merit,
    found: Sequence[Look],
    words: tuple[str, str],
) -> Any:
    """A panel for each method, its numbers of subdomains together, and all others in grey."""
    key, label = axis
    methods = list(dict.fromkeys(row.label.partition(",")[0] for row in rows))
    lines = math.ceil(len(methods) / ACROSS)
    made = figures.figure(3.9 * ACROSS, 2.9 * lines + 0.7)
    grid = made.subplots(lines, ACROSS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, method in zip(grid, methods, strict=False):
        for row in rows:
            for points, _, _ in _band(row, key, merit):
                axes.plot(*points, color=FAINT, lw=1.0, zorder=1)
        chosen = [i for i, row in enumerate(rows) if row.label.partition(",")[0] == method]
        panel(axes, [rows[i] for i in chosen], key, merit, [found[i] for i in chosen])
        title = rows[chosen[0]].title if len(chosen) == 1 else method
        axes.set_title(title, loc="left", fontsize=10.5, color=INK)
        if len(chosen) > 1:
            axes.legend(fontsize=8.5, **figures.LEGEND)
        if key.endswith("seconds"):
            logarithmic(axes)
    for i, axes in enumerate(grid):
        axes.set_ylabel(merit.label if i % ACROSS == 0 else "", fontsize=9.5, color=MUTED)
        if i >= len(methods):
            axes.set_axis_off()
        elif i + ACROSS >= len(methods):
            axes.set_xlabel(label, fontsize=9.5, color=MUTED)
            axes.tick_params(labelbottom=True)
    figures.heading(made, *words)
    return made


def panel(axes: Any, rows: Sequence[Row], key: str, merit: Merit, found: Sequence[Look]) -> None:
    """Draw one figure of merit of all rows against a key of their lines; a look for each row."""
    figures.plain(axes)
    for row, look in zip(rows, found, strict=True):
        for points, low, high in _band(row, key, merit):
            axes.plot(*points, **look.line(), lw=1.8, label=row.title)
            if len(row.outcomes) > 1:
                axes.fill_between(points[0], low, high, color=look.colour, alpha=0.15, lw=0)
    axes.set_ylabel(merit.label, fontsize=9.5, color=MUTED)
    axes.margins(x=0.0)  # the axis begins where the first measurement is
    if not merit.higher:
        axes.set_yscale("log")


def logarithmic(axes: Any) -> None:
    """Make x logarithmic; a start at 0 s is left out, not drawn as a line from the far left."""
    axes.set_xscale("log", nonpositive="mask")


Band = tuple[tuple[list[float], list[float]], list[float], list[float]]


def _band(row: Row, key: str, merit: Merit) -> Iterable[Band]:
    """The median of the seeds as (x, y), and their range; nothing where nothing was measured."""
    curves = [_curve(outcome, key, merit) for outcome in row.outcomes]
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    first = max(curve[0][0] for curve in curves)
    last = min(curve[-1][0] for curve in curves)
    grid = sorted({x for curve in curves for x, _ in curve if first <= x <= last})
    grid = grid[:: max(1, len(grid) // POINTS)] + grid[-1:]
    columns = [[_at(curve, x) for curve in curves] for x in grid]
    yield (grid, list(map(_middle, columns))), list(map(min, columns)), list(map(max, columns))


def _middle(values: list[float]) -> float:
    """The median; of an even number of positive values the geometric mean of the two inner ones."""
    low, high = median_low(values), median_high(values)
    return math.sqrt(low * high) if low > 0.0 else 0.5 * (low + high)


def _curve(outcome: Outcome, key: str, merit: Merit) -> list[tuple[float, float]]:
    if key not in outcome.lines[-1]:  # a record that is older than this column
        key = "seconds"
    found = [(line[key], line.get(merit.key)) for line in outcome.lines]
    return [(float(x), float(y)) for x, y in found if y is not None and math.isfinite(y)]


def _at(curve: list[tuple[float, float]], x: float) -> float:
    """The last value that was known at ``x``."""
    return curve[max(0, bisect_right([point[0] for point in curve], x) - 1)][1]

"""Figures of a study, from its tidy table alone. They need matplotlib."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ddopt import figures
from ddopt.compare import figure as comparison
from ddopt.compare.score import MERITS, WORK, geometric, mean, merit_of
from ddopt.palette import BLUE, FAINT, INK, MUTED, looks
from ddopt.study import tidy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ddopt.compare.score import Merit, Outcome, Row
    from ddopt.study.settings import Picture

SIDE = 3.1  # inches of a panel
ACROSS = 4  # panels side by side in an overview
TABLE = dict[str, "list[Row]"]


def draw(folder: Path, pictures: Sequence[Picture], title: str) -> list[Path]:
    """Draw every figure that the study asks for; returns the files."""
    found = {
        problem: [row for row in rows if row.outcomes]
        for problem, rows in tidy.rows(tidy.read(folder)).items()
    }
    found = {problem: rows for problem, rows in found.items() if rows}
    if not found:
        return []
    paths, names = [], []
    for one in pictures:
        merits = {problem: _merit(rows, one.merit) for problem, rows in found.items()}
        if one.kind == "curves":
            paths += curves(folder, found, title)
            continue
        drawn = DRAWN[one.kind](found, title, merits, one)
        names.append(f"{one.kind}-{one.merit}" if one.merit else one.kind)
        again = f"-{names.count(names[-1])}" if names.count(names[-1]) > 1 else ""
        paths.append(figures.save(drawn, folder / f"{names[-1]}{again}.png"))
    return paths


def _merit(rows: Sequence[Row], key: str) -> Merit:
    """The figure of merit that is asked for; raises ``ValueError`` for one that nobody measured."""
    if not key:
        return merit_of(rows)
    chosen = next((merit for merit in MERITS if merit.key == key), None)
    if chosen is None:
        raise ValueError(
            f"merit of a figure is one of {', '.join(m.key for m in MERITS)}, not {key!r}"
        )
    return chosen


def curves(folder: Path, found: TABLE, title: str) -> list[Path]:
    """The merit against what was paid, a figure for each problem."""
    paths = []
    for problem, rows in found.items():
        place = folder if len(found) == 1 else folder / "figures" / problem
        seeds = sorted({seed for row in rows for seed in row.seeds})
        name = title if len(found) == 1 else f"{title}: {problem}"
        paths += comparison.draw(place, rows, name, seeds)
    return paths


def central(row: Row, merit: Merit) -> float:
    """The mean of the seeds: arithmetic of what is higher, geometric of errors and losses."""
    values = row.values(merit.key)
    return mean(values) if merit.higher else geometric(values)


def _panels(found: TABLE, across: int, title: str, detail: str) -> tuple[Any, Any]:
    made = figures.figure(SIDE * across + 1.2, 2.6 * len(found) + 0.8)
    figures.heading(made, title, detail)
    return made, made.subplots(len(found), across, squeeze=False)


def _decades(axes: Any, low: float, high: float) -> None:
    """A logarithmic axis from ``low`` to ``high``, with few and plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.set_ylim(0.7 * low, 1.4 * high)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high < 300.0 * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _range(axes: Any, x: list[Any], rows: Sequence[Row], merit: Merit, **style: Any) -> None:
    """Means over a key with the range of the seeds."""
    style = {"ls": "-", "marker": "o", "ms": 4, "lw": 1.8, **style}
    axes.plot(x, [central(row, merit) for row in rows], **style)
    several = [row.values(merit.key) for row in rows]
    if any(len(values) > 1 for values in several):
        colour = style.get("color", BLUE)
        low, high = [min(v) for v in several], [max(v) for v in several]
        axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)


def _along(axes: Any, x: Sequence[Any]) -> None:
    """The values that were taken, and no others, along x; logarithmic over decades."""
    from matplotlib.ticker import NullLocator

    figures.plain(axes)
    if all(isinstance(value, (int, float)) and value > 0 for value in x):
        if max(x) > 8 * min(x):
            axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(x, [tidy.show(value) for value in x])


def overview(found: TABLE, title: str, merits: dict[str, Merit], picture: Picture) -> Any:
    """The merit against processor seconds: a panel for each problem, a line for each method."""
    across = min(ACROSS, len(found))
    lines = math.ceil(len(found) / across)
    made = figures.figure(SIDE * across + 1.8, 2.5 * lines + 0.8)
    figures.heading(made, title, "against processor seconds; median and range of the seeds")
    grid = made.subplots(lines, across, squeeze=False).ravel()
    named = {row.label: row.look for rows in found.values() for row in rows}
    given = dict(zip(named, looks(named.items()), strict=True))
    handles: dict[str, Any] = {}
    for axes, (problem, rows) in zip(grid, found.items(), strict=False):
        merit, chosen = merits[problem], [given[row.label] for row in rows]
        comparison.panel(axes, rows, WORK, merit, chosen)
        handles |= dict(zip([row.label for row in rows], axes.lines, strict=False))
        axes.set_title(problem, loc="left", fontsize=10, color=INK)
        values = [v for r in rows for o in r.outcomes for v in _seen(o, merit.key)]
        if values and not merit.higher:
            _decades(axes, min(values), max(values))
        axes.set_ylabel(merit.label if axes in grid[::across] else "", fontsize=9, color=MUTED)
    for axes in grid[max(0, len(found) - across) : len(found)]:
        axes.set_xlabel("processor seconds", fontsize=9, color=MUTED)
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    made.legend(handles.values(), handles, loc="outside right center", fontsize=9, **figures.LEGEND)
    return made


def _seen(outcome: Outcome, key: str) -> list[float]:
    """The positive values that a run has measured."""
    return [v for line in outcome.lines if (v := line.get(key)) is not None and 0 < v < math.inf]


def sensitivity(found: TABLE, title: str, merits: dict[str, Merit], picture: Picture) -> Any:
    """The merit against each key that varies: a row for each problem, a column for each key."""
    columns: dict[tuple[str, str], None] = {}
    for rows in found.values():
        for row in rows:
            for key in row.where:
                if key != "method":
                    columns[row.where["method"], key] = None
    seeds = "range of the seeds shaded"
    made, grid = _panels(found, len(columns), title, f"mean over the seeds, {seeds}")
    for line, (problem, rows) in zip(grid, found.items(), strict=True):
        merit = merits[problem]
        values = [v for row in rows for v in row.values(merit.key) if 0.0 < v < math.inf]
        for axes, (method, key) in zip(line, columns, strict=True):
            chosen = [r for r in rows if r.where["method"] == method and key in r.where]
            chosen.sort(key=lambda row: (isinstance(row.where[key], str), row.where[key]))
            x = [row.where[key] for row in chosen]
            if chosen:
                _range(axes, x, chosen, merit, color=BLUE)
                _along(axes, x)
            if values and not merit.higher:
                _decades(axes, min(values), max(values))
            axes.set_xlabel(tidy.short(key), fontsize=9.5, color=MUTED)
            axes.set_title(method, loc="left", fontsize=10, color=INK)
        line[0].set_ylabel(f"{problem}\n{merit.label}", fontsize=9.5, color=MUTED)
    return made


def heatmap(found: TABLE, title: str, merits: dict[str, Merit], picture: Picture) -> Any:
    """The merit over two keys: a row of panels for each problem, a panel for each method.

    Problems that do not vary both are left out.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

    if not picture.x or not picture.y:
        raise ValueError("a figure of the kind heatmap needs x and y, two keys that vary")
    keys = {picture.x, picture.y}
    found = {
        problem: both
        for problem, rows in found.items()
        if (both := [row for row in rows if keys <= row.where.keys()])
    }
    if not found:
        raise ValueError(f"no run varies both {picture.x} and {picture.y}")
    methods = list(dict.fromkeys(r.where["method"] for rows in found.values() for r in rows))
    what = ", ".join(dict.fromkeys(merits[problem].label for problem in found))
    made, grid = _panels(
        found, len(methods), title, f"{what}, mean over the seeds; darker is better"
    )
    for line, (problem, both) in zip(grid, found.items(), strict=True):
        merit = merits[problem]
        xs, ys = (sorted({row.where[key] for row in both}) for key in (picture.x, picture.y))
        values = [v for row in both if math.isfinite(v := central(row, merit))]
        norm = (Normalize if merit.higher else LogNorm)(min(values), max(values))
        order = 1 if merit.higher else -1
        colours = LinearSegmentedColormap.from_list("merit", figures.SEQUENTIAL[::order])
        for axes, method in zip(line, methods, strict=True):
            cells = [[math.nan] * len(xs) for _ in ys]
            for row in both:
                if row.where["method"] == method:
                    i, j = ys.index(row.where[picture.y]), xs.index(row.where[picture.x])
                    cells[i][j] = central(row, merit)
            drawn = axes.imshow(cells, norm=norm, cmap=colours, origin="lower", aspect="auto")
            _numbers(axes, cells, drawn, merit)
            axes.set_xticks(range(len(xs)), [tidy.show(x) for x in xs], fontsize=9)
            axes.set_yticks(range(len(ys)), [tidy.show(y) for y in ys], fontsize=9)
            axes.set_xlabel(tidy.short(picture.x), fontsize=9.5, color=MUTED)
            axes.set_title(method, loc="left", fontsize=10, color=INK)
        line[0].set_ylabel(f"{problem}\n{tidy.short(picture.y)}", fontsize=9.5, color=MUTED)
    return made


def _numbers(axes: Any, cells: list[list[float]], drawn: Any, merit: Merit) -> None:
    """Write each value into its cell, in the ink that can be read there."""
    for i, line in enumerate(cells):
        for j, value in enumerate(line):
            if math.isfinite(value):
                red, green, blue, _ = drawn.to_rgba([value])[0]
                ink = INK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.55 else FAINT
                text = f"{value:.1%}" if merit.higher else f"{value:.3g}"
                axes.text(j, i, text, ha="center", va="center", fontsize=8.5, color=ink)


def scaling(found: TABLE, title: str, merits: dict[str, Merit], picture: Picture) -> Any:
    """The merit and the time against the number of subdomains N, a line for each method."""
    made, grid = _panels(found, 2, title, "mean over the seeds, range shaded")
    for line, (problem, rows) in zip(grid, found.items(), strict=True):
        merit = merits[problem]
        methods: dict[str, list[Row]] = {}
        for row in sorted(rows, key=lambda row: row.subdomains):
            methods.setdefault(str(row.where["method"]).partition(",")[0], []).append(row)
        given = looks((name, some[0].look) for name, some in methods.items())
        for look, (name, some) in zip(given, methods.items(), strict=True):
            x = [row.subdomains for row in some]
            style = {"color": look.colour, "ls": look.style, "label": name}
            _range(line[0], x, some, merit, **style)
            work = [mean(row.values("processor_seconds")) for row in some]
            line[1].plot(x, work, marker="o", ms=4, lw=1.8, **style)
        for axes in line:
            _along(axes, sorted({row.subdomains for row in rows}))
            axes.set_xlabel("subdomains N", fontsize=9.5, color=MUTED)
        if not merit.higher:
            line[0].set_yscale("log")
        line[1].set_yscale("log")
        line[0].set_ylabel(f"{problem}\n{merit.label}", fontsize=9.5, color=MUTED)
        line[1].set_ylabel("processor seconds, all processes", fontsize=9.5, color=MUTED)
        line[0].legend(fontsize=8.5, **figures.LEGEND)
    return made


DRAWN = {"overview": overview, "sensitivity": sensitivity, "heatmap": heatmap, "scaling": scaling}

"""The look of the figures: thin axes, titles, the course of a run, formats. Needs matplotlib."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddopt.palette import BLUE, FAINT, INK, MUTED
from ddopt.setup.extras import installing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
SEQUENTIAL = ["#ffffff", "#dbe3f5", "#a9bce8", "#6c8cd6", "#2e59be", "#182f66"]
LEGEND: dict[str, Any] = {"frameon": False, "labelcolor": INK, "handlelength": 3.2}  # two dashes
_format: ContextVar[str] = ContextVar("format", default="png")


@dataclass(frozen=True)
class Curve:
    """One key of a run's lines, and how to show it."""

    key: str
    label: str
    color: str = BLUE
    best: str = ""  # the "highest" or the "lowest" value is marked and written, if either


@dataclass(frozen=True)
class Panel:
    """Curves that share a scale."""

    title: str
    curves: tuple[Curve, ...]
    logarithmic: bool = False
    percent: bool = False


def figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that needs no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ValueError(
            f"figures need matplotlib, but there is no {error.name!r}: {installing('plot')}"
        ) from error
    made = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    FigureCanvasAgg(made)
    return made


@contextmanager
def written_as(format: str) -> Iterator[None]:
    """Inside, ``save`` writes this format: png, pdf or svg. Raises ``ValueError`` for another."""
    if format not in FORMATS:
        raise ValueError(f"figures are written as {', '.join(FORMATS)}, not as {format!r}")
    token = _format.set(format)
    try:
        yield
    finally:
        _format.reset(token)


def save(made: Figure, path: Path, dots: int = 160) -> Path:
    """Write a figure as a PNG, or in the format of ``written_as``; returns the file's path."""
    path = path.with_suffix(f".{_format.get()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path, dpi=dots)
    return path


def ran(folder: Path) -> str:
    """What was run, for a title: the method, N and the seed; empty where no run lies there."""
    path = folder / "summary.json"
    if not path.exists():
        return ""
    told = json.loads(path.read_text(encoding="utf-8"))
    words = [told["strategy"], f"N = {told['subdomains']}" if told["subdomains"] > 1 else ""]
    return ", ".join([*filter(None, words), f"seed {told['seed']}"])


def heading(made: Figure, title: str, detail: str = "") -> None:
    """A title, and beneath it what the figure says."""
    height = made.get_size_inches()[1]
    made.suptitle(title, x=0.012, y=1 - 0.10 / height, ha="left", va="top", fontsize=13, color=INK)
    if detail:
        made.text(0.012, 1 - 0.38 / height, detail, va="top", fontsize=9.5, color=MUTED)
    engine: Any = made.get_layout_engine()
    engine.set(rect=(0.0, 0.0, 1.0, 1 - (0.62 if detail else 0.36) / height))


def plain(axes: Axes) -> None:
    """Axes that step back behind what they show."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=9, length=3)
    axes.grid(True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)


def course(metrics: list[dict[str, Any]], panels: list[Panel], title: str, detail: str) -> Figure:
    """What a run measured against what it paid; a panel without any numbers is left out."""
    there = [p for p in panels if any(_points(metrics, curve.key) for curve in p.curves)]
    made = figure(5.2 * max(1, len(there)), 3.9)
    heading(made, title, detail)
    for i, panel in enumerate(there):
        axes = made.add_subplot(1, len(there), i + 1)
        plain(axes)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=INK)
        axes.set_xlabel("evaluations per process", fontsize=9.5, color=MUTED)
        axes.margins(x=0.0, y=0.15)  # the axis begins where the first number is
        drawn = [(curve, _points(metrics, curve.key)) for curve in panel.curves]
        for curve, points in drawn:
            if points:
                _draw(axes, curve, points, panel.percent)
        _scale(axes, panel, [y for _, points in drawn for _, y in points])
        if sum(bool(points) for _, points in drawn) > 1:
            axes.legend(fontsize=9, **LEGEND)
    return made


def _points(metrics: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    lines = enumerate(metrics, 1)
    pairs = [(float(line.get("evaluations", i)), line.get(key)) for i, line in lines]
    return [(x, float(y)) for x, y in pairs if y is not None and math.isfinite(y)]


def _draw(axes: Axes, curve: Curve, points: list[tuple[float, float]], percent: bool) -> None:
    x, y = [point[0] for point in points], [point[1] for point in points]
    mark = "o" if len(points) <= 30 else ""
    axes.plot(x, y, color=curve.color, lw=1.8, marker=mark, markersize=3.5, label=curve.label)
    if not curve.best:
        return
    chosen = (max if curve.best == "highest" else min)(points, key=lambda point: point[1])
    axes.plot(*chosen, "o", color=curve.color, markersize=6, zorder=5)
    value = f"{chosen[1]:.2%}" if percent else f"{chosen[1]:.3g}"
    # Above the panel, where no curve can run through it.
    axes.set_title(f"{curve.best} {value}", loc="right", fontsize=9.5, fontweight="bold", color=INK)


def _scale(axes: Axes, panel: Panel, values: list[float]) -> None:
    """A logarithmic axis with plain numbers, or per cents."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.0), min(high, 1.0))
    if not panel.logarithmic or min(values) <= 0.0:
        return
    axes.set_yscale("log")
    if max(values) < 1e3 * min(values):
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())

"""The picture of a spatial decomposition: boxes, how far they reach, and the points of each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ddopt.figures import save
from ddopt.palette import COLOURS
from ddopt_pinn.figure import DOTS, STYLE

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ddopt.decomposition.boxes import Box, Boxes
    from ddopt.evaluation.problem import Problem
    from ddopt_pinn.differential import DifferentialTask

FEW = 8  # boxes that a legend can name
FEW_POINTS, MOST = 200, 20_000  # points that are drawn large, and points that are drawn


def draw(task: DifferentialTask, decomposition: Boxes, problem: Problem, folder: Path) -> Path:
    """Draw ``subdomains.png`` into ``folder``: a box's points in its colour, its reach dashed.

    A domain of three dimensions is seen along its last axis.
    """
    matplotlib = import_module("matplotlib")
    figure = import_module("matplotlib.figure").Figure
    found, x = decomposition.regions(problem)
    shown = shown_axes(task.axes)
    with matplotlib.rc_context(STYLE):
        sheet = figure(figsize=(7.6, 3.2 if len(shown) == 1 else 5.6 if "t" in shown else 7.2))
        panel = sheet.add_subplot()
        for number, box in enumerate(found):
            _draw_box(panel, number, box, x, [task.axes.index(axis) for axis in shown])
        reach = decomposition.config.overlap
        if reach:
            seen = [len(box.widened(x, reach)) / len(x) for box in found]
            for number, box in enumerate(found):
                _outline(panel, number, box, x, shown, task.axes, reach)
            words = f"\neach solves on {min(seen):.0%} to {max(seen):.0%} of them (dashed)"
        else:
            words = ""
        by = {"count": "equal count", "width": "equal width"}[decomposition.config.cut]
        panel.set_title(f"{len(found)} boxes of {by}, {len(x):,} points{words}")
        panel.set_xlabel(f"${shown[0]}$")
        if len(shown) == 1:
            panel.set_yticks(range(len(found)))
            panel.set_ylabel("box")
        else:
            panel.set_ylabel(f"${shown[1]}$")
            if "t" not in shown:
                panel.set_aspect("equal")
        if len(found) <= FEW:
            panel.legend(
                loc="upper left",
                bbox_to_anchor=(1.01, 1.0),
                frameon=False,
                markerscale=2.0,
                title=r"box: $|D_d|/|D|$",
            )
        return save(sheet, folder / "subdomains.png", DOTS)


def shown_axes(axes: tuple[str, ...]) -> tuple[str, ...]:
    """The axes of the picture: time across if there is time, otherwise the first two."""
    if len(axes) == 1:
        return axes
    return ("t", axes[0]) if "t" in axes else axes[:2]


def _draw_box(panel: Any, number: int, box: Box, x: torch.Tensor, columns: list[int]) -> None:
    """The points of a box in its colour, and its faces."""
    colour = COLOURS[number % len(COLOURS)]
    own = x[box.points[:: -(-len(x) // MOST)]]
    across = own[:, columns[0]].numpy()
    up = own[:, columns[1]].numpy() if len(columns) > 1 else [number] * len(own)
    size = 10.0 if len(x) < FEW_POINTS else 5.0
    label = f"{number}: {len(box.points) / len(x):.3f}"
    panel.plot(across, up, ".", color=colour, ms=size, mew=0, alpha=0.8, label=label)
    _rectangle(panel, number, box.lower[columns].tolist(), box.upper[columns].tolist(), colour, "-")


def _outline(
    panel: Any,
    number: int,
    box: Box,
    x: torch.Tensor,
    shown: tuple[str, ...],
    axes: tuple[str, ...],
    reach: float,
) -> None:
    """How far a box reaches, inside the domain."""
    columns = [axes.index(axis) for axis in shown]
    margin = reach * (box.upper - box.lower)
    lower = (box.lower - margin).maximum(x.amin(0))[columns].tolist()
    upper = (box.upper + margin).minimum(x.amax(0))[columns].tolist()
    _rectangle(panel, number, lower, upper, COLOURS[number % len(COLOURS)], (0, (5, 3)))


def _rectangle(
    panel: Any, number: int, lower: list[float], upper: list[float], colour: str, style: Any
) -> None:
    if len(lower) == 1:  # a line: one row for each box
        height = 0.28 if style == "-" else 0.4
        lower, upper = [*lower, number - height], [*upper, number + height]
    across = [lower[0], upper[0], upper[0], lower[0], lower[0]]
    up = [lower[1], lower[1], upper[1], upper[1], lower[1]]
    panel.plot(across, up, color=colour, ls=style, lw=1.3)

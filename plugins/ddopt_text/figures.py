"""Figures of a language model: the course of the run, and what it writes.

``task`` is a ``Language`` throughout; it calls this file, so this one does not import it.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from ddopt.figures import Curve, Panel, course, figure, heading, ran, save
from ddopt.palette import BLUE, BRICK, INK, MUTED

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from matplotlib.figure import Figure


PANELS = [
    Panel(
        "loss",
        (
            Curve("loss", "training", MUTED),
            Curve("validation_loss", "validation", BLUE, best="lowest"),
        ),
    ),
    Panel(
        "validation perplexity",
        (Curve("perplexity", "validation", BRICK, best="lowest"),),
        logarithmic=True,
    ),
]
LINES, COLUMNS = 22, 76


def draw(task: Any, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
    """All figures."""
    measured = task.validate(theta)
    loss, perplexity = measured["validation_loss"], measured["perplexity"]
    said = f"validation loss {loss:.3f}, perplexity {perplexity:.2f}"
    said = "; ".join(filter(None, [ran(folder), said]))
    written = task.generate(theta, "\n", 700)
    drawn = [save(page(task.title, written, said), folder / "sample.png")]
    if metrics:
        drawn.append(save(course(metrics, PANELS, task.title, said), folder / "course.png"))
    return drawn


def page(title: str, written: str, said: str) -> Figure:
    """A page of generated text."""
    lines = [
        piece
        for line in written.strip().splitlines()
        for piece in (textwrap.wrap(line, COLUMNS) or [""])
    ][:LINES]
    made = figure(8.2, 0.9 + 0.2 * len(lines))
    heading(made, f"{title}: written by the network", said)
    axes = made.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(lines), 0)
    for i, line in enumerate(lines):
        speaker = line.endswith(":")
        axes.text(
            0.0,
            i + 0.5,
            line.replace("$", r"\$"),
            family="monospace",
            fontsize=9.5,
            va="center",
            color=BLUE if speaker else INK,
            weight="bold" if speaker else "normal",
        )
    return made

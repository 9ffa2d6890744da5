"""Panels of convergence: loss and error against evaluations and against seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddopt.palette import BLUE, BRICK, DASHED, DOTTED, LOOKS, Look

CURVES = (
    ("loss", Look(BLUE), "loss"),
    ("error", Look(BRICK, DASHED), r"relative $L^2$ error"),
)
EVALUATIONS = ("evaluations", "evaluations per process")
FEW = 30  # points up to which each is marked: a line between two measurements is not measured


def convergence(
    panels: dict[str, Any],
    metrics: list[dict[str, Any]],
    counted: tuple[str, str] = EVALUATIONS,
) -> None:
    """Fill the panels ``evaluations`` (by what is ``counted``: a key and its label) and
    ``seconds``, as far as they are there.

    Loss and error are both without units, so they share an axis.
    """
    for place, (key, label) in (("evaluations", counted), ("seconds", ("seconds", "seconds"))):
        if place not in panels:
            continue
        panel = panels[place]
        panel.set_title(f"Convergence against {'steps' if key == 'iteration' else key}")
        if key == "iteration":
            panel.xaxis.get_major_locator().set_params(integer=True)
        for name, look, text in CURVES:
            _draw(panel, [(row.get(key), row.get(name)) for row in metrics], look, text)
        if panel.lines:
            panel.set_yscale("log")
            panel.margins(x=0.0)
            panel.legend(frameon=False, loc="best", fontsize=9)
        panel.set_xlabel(label, fontsize=10)
        panel.grid(alpha=0.25, lw=0.6)


def unknowns(
    panel: Any, metrics: list[dict[str, Any]], names: list[str], truth: dict[str, float]
) -> None:
    """The course of unknown coefficients, each with a thin line at its true value if known."""
    panel.set_title("Unknown coefficients" if len(names) > 1 else "Unknown coefficient")
    for name, look in zip(names, LOOKS, strict=False):
        points = [(row["evaluations"], row[name]) for row in metrics if row.get(name) is not None]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        panel.plot(x, y, **look.line(), lw=1.5, label=f"{name}: {y[-1]:.4g}")
        if name in truth:
            panel.axhline(truth[name], color=look.colour, lw=0.8, ls=DOTTED)
    if panel.lines:
        panel.margins(x=0.0)
        panel.legend(frameon=False, loc="best", fontsize=9)
    panel.set_xlabel(EVALUATIONS[1], fontsize=10)
    panel.grid(alpha=0.25, lw=0.6)


def _draw(panel: Any, pairs: list[tuple[Any, Any]], look: Look, text: str) -> None:
    points = [(x, y) for x, y in pairs if x is not None and y is not None and np.isfinite(y)]
    points = [(x, y) for x, y in points if y > 0.0]
    if points:
        panel.plot(
            *zip(*points, strict=True),
            **look.line(),
            lw=1.5,
            marker="o" if len(points) <= FEW else "",
            markersize=4,
            clip_on=False,  # the first and the last point lie on the edge
            label=f"{text}: {scientific(points[-1][1])}",
        )


def scientific(value: float) -> str:
    """A number as it is printed: 1.2 × 10⁻³."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"

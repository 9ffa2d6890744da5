"""The figure of a finished run: prediction, reference, error, residual and convergence.

``task`` is a ``DifferentialTask`` throughout; it calls this file, so this one does not import it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddopt.figures import ran, save
from ddopt.palette import BLUE, BRICK, INK, MUTED, PLUM
from ddopt.setup.extras import installing
from ddopt_pinn.convergence import convergence, unknowns

RESIDUAL = r"$|\mathcal{N}[u_\theta]|$"
RANGE = 1e-3  # of residuals: below, a map shows where they change their sign, and nothing else
TINY = 1e-16  # the smallest number on a logarithmic axis
BATCH = 20_000  # points at which the equation is asked for at once
DIVERGING = "RdBu_r"  # of fields with both signs
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
    "mathtext.fontset": "cm",
    "figure.constrained_layout.use": True,
}
DOTS = 200  # per inch


def draw(task: Any, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
    """Draw one figure per component of the solution into ``folder``; returns the files.

    Raises ``ModuleNotFoundError`` with the command that installs matplotlib if it is missing.
    """
    library, figure = matplotlib()
    files = []
    for component, name in enumerate(task.outputs):
        file = folder / ("figure.png" if len(task.outputs) == 1 else f"figure-{name}.png")
        with library.rc_context(STYLE):
            sheet = figure(figsize=_size(task))
            _Sheet(task, theta, component).fill(sheet, metrics, ran(folder))
            files.append(save(sheet, file, DOTS))
    return files


def matplotlib() -> tuple[Any, Any]:
    """The library, and a maker of figures that need no display.

    Raises ``ModuleNotFoundError`` with the command that installs it if it is missing.
    """
    try:
        library = import_module("matplotlib")
        canvas = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg
        figure = import_module("matplotlib.figure").Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"figures need matplotlib, but there is no {error.name!r}. "
            f"Install it with: {installing('plot')}"
        ) from error

    def make(**options: Any) -> Any:
        made = figure(**options)
        canvas(made)
        return made

    return library, make


def colours(low: float, high: float) -> dict[str, Any]:
    """Colour map and limits: diverging about zero where both signs occur."""
    if low < -0.05 * (high - low) and high > 0.05 * (high - low):
        return {"cmap": DIVERGING, "vmin": -max(-low, high), "vmax": max(-low, high)}
    return {"cmap": "viridis", "vmin": low, "vmax": high}


def signs(panel: Any, bar: Any, ticks: list[np.ndarray], values: np.ndarray) -> None:
    """Lines at half of the scale, dashed below zero: both signs are equally dark in grey."""
    half = 0.5 * bar.norm.vmax
    levels = [h for h in (-half, half) if np.nanmin(values) < h < np.nanmax(values)]
    if levels:
        styles = ["dashed" if level < 0.0 else "solid" for level in levels]
        look = {"colors": INK, "linewidths": 0.7, "linestyles": styles}
        bar.add_lines(panel.contour(*ticks, values.T, levels=levels, **look))


def _size(task: Any) -> tuple[float, float]:
    """Inches: square panels where both axes are space, flatter ones otherwise."""
    if len(task.axes) > 1 and "t" not in task.axes:
        return 13.2, 7.6
    return 13.8, 7.0


class _Sheet:
    """One component of the solution on a line or a plane, ready to be drawn."""

    def __init__(self, task: Any, theta: torch.Tensor, component: int) -> None:
        self.task, self.symbol = task, task.outputs[component]
        self.axes: tuple[str, ...] = task.axes[:1] if len(task.axes) == 1 else self._plane()
        self.ticks = [task.ticks[task.axes.index(axis)] for axis in self.axes]
        mesh = np.meshgrid(*self.ticks, indexing="ij")
        points = np.tile(task.bounds.mean(1), (mesh[0].size, 1))
        for axis, coordinate in zip(self.axes, mesh, strict=True):
            points[:, task.axes.index(axis)] = coordinate.ravel()
        inside = task.inside(points)

        def spread(values: np.ndarray | None) -> np.ndarray | None:
            """One component on the whole mesh, not-a-number outside the domain."""
            if values is None:
                return None
            full = np.full(len(points), np.nan)
            full[inside] = values[:, component]
            return full.reshape(mesh[0].shape)

        self.prediction = spread(task.predict(theta, points[inside]))
        self.reference = spread(task.solution(points[inside]))
        self.residual = self._residuals(theta, points[inside], inside, mesh[0].shape)

    def _residuals(
        self, theta: torch.Tensor, points: np.ndarray, inside: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray:
        """The size of the residuals of the equations on the mesh."""
        where = self.task.initial
        x = torch.as_tensor(points, dtype=where.dtype, device=where.device)
        found = [self.task.problem.equations_at(theta, some) for some in x.split(BATCH)]
        full = np.full(len(inside), np.nan)
        full[inside] = torch.linalg.vector_norm(torch.cat(found), dim=1).double().cpu().numpy()
        return full.reshape(shape)

    def _plane(self) -> tuple[str, str]:
        """The axes that are shown: time across if there is time, otherwise the first two."""
        first = self.task.axes[0]
        return ("t", first) if "t" in self.task.axes else (first, self.task.axes[1])

    def _title(self) -> str:
        words = [self.task.title]
        held = [axis for axis in self.task.axes if axis not in self.axes]
        centre = dict(zip(self.task.axes, self.task.bounds.mean(1), strict=True))
        words += [f"${axis} = {centre[axis]:g}$" for axis in held]
        return ", ".join(words)

    def fill(self, sheet: Any, metrics: list[dict[str, Any]], words: str) -> None:
        """Draw everything; ``words`` say what was run."""
        sheet.suptitle("\n".join(filter(None, [self._title(), words])), fontsize=13)
        if self.reference is None:
            places = [["prediction", "residual"], ["evaluations", "seconds"]]
        elif len(self.axes) == 1:
            upper = [key for key in ("prediction", "error", "residual") for _ in range(2)]
            places = [upper, ["evaluations"] * 3 + ["seconds"] * 3]
        else:
            places = [["prediction", "reference", "error"], ["residual", "evaluations", "seconds"]]
        if self.task.unknowns:  # what is sought takes the place of the second convergence
            places[-1] = ["unknowns" if place == "seconds" else place for place in places[-1]]
        panels = sheet.subplot_mosaic(places)
        draw_fields = self._lines if len(self.axes) == 1 else self._fields
        draw_fields(sheet, panels)
        convergence(panels, metrics, self.task.counted)
        if self.task.unknowns:
            unknowns(panels["unknowns"], metrics, list(self.task.unknowns), self.task.truth)

    def _lines(self, _: Any, panels: dict[str, Any]) -> None:
        (x,), u = self.ticks, self.symbol
        panel = panels["prediction"]
        panel.set_title("Solution")
        if self.reference is not None:
            assert self.prediction is not None
            panel.plot(x, self.reference, color=MUTED, lw=4, alpha=0.45, label=f"reference ${u}$")
            error = panels["error"]
            error.plot(x, self.prediction - self.reference, color=BRICK, lw=1.4)
            error.axhline(0.0, color=MUTED, lw=0.8)
            error.set_title("Pointwise error")
            error.set(xlabel=f"${self.axes[0]}$", ylabel=rf"${u}_\theta - {u}$")
        panel.plot(x, self.prediction, color=BLUE, lw=1.6, label=rf"network ${u}_\theta$")
        panel.set(xlabel=f"${self.axes[0]}$", ylabel=f"${u}$")
        panel.legend(frameon=False)
        panels["residual"].semilogy(x, np.maximum(self.residual, TINY), color=PLUM, lw=1.4)
        panels["residual"].set_title("Residual of the equation")
        panels["residual"].set(xlabel=f"${self.axes[0]}$", ylabel=RESIDUAL)
        for one in panels.values():
            one.grid(alpha=0.2, lw=0.6)
            one.margins(x=0.0)
            one.locator_params(axis="x", nbins=6)

    def _fields(self, sheet: Any, panels: dict[str, Any]) -> None:
        u = self.symbol
        assert self.prediction is not None
        shown = self.prediction if self.reference is None else self.reference
        low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
        scale = colours(low, high)
        titles = {"prediction": rf"Network ${u}_\theta$", "reference": f"Reference ${u}$"}
        self._field(sheet, panels["prediction"], self.prediction, titles["prediction"], scale)
        self.task.decorate(panels["prediction"], self.axes)
        most = max(float(np.nanmax(self.residual)), TINY)
        scaled = import_module("matplotlib.colors").LogNorm(most * RANGE, most)
        log = {"cmap": "magma", "norm": scaled}
        shown = np.clip(self.residual, most * RANGE, None)
        title = f"Residual of the equation, {RESIDUAL}"
        self._field(sheet, panels["residual"], shown, title, log)
        if self.reference is None:
            return
        self._field(sheet, panels["reference"], self.reference, titles["reference"], scale)
        error = self.prediction - self.reference
        most = float(np.nanmax(np.abs(error))) or 1.0
        scale = {"cmap": DIVERGING, "vmin": -most, "vmax": most}
        title = rf"Pointwise error ${u}_\theta - {u}$"
        self._field(sheet, panels["error"], error, title, scale)

    def _field(
        self, sheet: Any, panel: Any, values: np.ndarray, title: str, scale: dict[str, Any]
    ) -> None:
        shading = "nearest" if np.isnan(values).any() else "gouraud"
        image = panel.pcolormesh(*self.ticks, values.T, shading=shading, rasterized=True, **scale)
        below, above = np.nanmin(values) < image.norm.vmin, np.nanmax(values) > image.norm.vmax
        extend = "both" if below and above else "min" if below else "max" if above else "neither"
        bar = sheet.colorbar(image, ax=panel, pad=0.02, extend=extend)
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_offset_position("left")
        if scale["cmap"] == DIVERGING:
            signs(panel, bar, self.ticks, values)
        panel.set_title(title)
        panel.set(xlabel=f"${self.axes[0]}$", ylabel=f"${self.axes[1]}$")
        panel.spines[["left", "bottom"]].set_visible(False)
        if "t" not in self.axes:
            panel.set_aspect("equal")

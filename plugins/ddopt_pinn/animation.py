"""The solution in time as an animated picture: network against reference, frame by frame.

``task`` is a ``DifferentialTask`` throughout; it calls this file, so this one does not import it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from ddopt.palette import BLUE, MUTED
from ddopt_pinn.figure import STYLE, colours, matplotlib

if TYPE_CHECKING:
    from pathlib import Path

    import torch


PER_SECOND = 12  # frames
DOTS = 100  # per inch


def animate(task: Any, theta: torch.Tensor, frames: int, folder: Path) -> list[Path]:
    """Write ``animation.gif`` into ``folder``: the first component at equidistant times.

    Nothing where there is no time. One space dimension is drawn as curves, two as maps; of three,
    the middle of the last one.
    """
    if "t" not in task.axes:
        return []
    library, figure = matplotlib()
    movie = import_module("matplotlib.animation")
    times = np.linspace(task.bounds[-1, 0], task.bounds[-1, 1], frames)
    mesh = np.meshgrid(*task.ticks[: min(2, len(task.axes) - 1)], indexing="ij")
    points = np.tile(task.bounds.mean(1), (mesh[0].size, 1))
    for axis, coordinate in enumerate(mesh):
        points[:, axis] = coordinate.ravel()
    inside = task.inside(points)

    def at(time: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Network and reference on the mesh."""
        points[:, -1] = time
        found = [task.predict(theta, points[inside]), task.solution(points[inside])]
        shown: list[Any] = [None, None]
        for which, values in enumerate(found):
            if values is not None:
                shown[which] = np.full(len(points), np.nan)
                shown[which][inside] = values[:, 0]
                shown[which] = shown[which].reshape(mesh[0].shape)
        return shown[0], shown[1]

    fields = [at(time) for time in times]
    make = _curves if len(mesh) == 1 else _maps
    file = folder / "animation.gif"
    with library.rc_context({**STYLE, "figure.constrained_layout.use": False}):
        sheet = figure(figsize=(6.4, 4.2) if len(mesh) == 1 or fields[0][1] is None else (9, 4.2))
        sheet.subplots_adjust(left=0.12, right=0.96, bottom=0.15, top=0.88, wspace=0.3)
        show = make(sheet, task, fields)
        writer = movie.PillowWriter(fps=PER_SECOND)
        with writer.saving(sheet, str(file), DOTS):
            for number, time in enumerate(times):
                show(number)
                sheet.suptitle(f"$t = {time:.2f}$", x=0.12, ha="left", fontsize=12)
                writer.grab_frame()
    return [file]


def _limits(fields: list[Any]) -> tuple[float, float]:
    """The range of the reference, or of the network where there is none."""
    known = [network if truth is None else truth for network, truth in fields]
    return min(float(np.nanmin(one)) for one in known), max(float(np.nanmax(one)) for one in known)


def _curves(sheet: Any, task: Any, fields: list[Any]) -> Any:
    (x, u), panel = (task.ticks[0], task.outputs[0]), sheet.add_subplot()
    low, high = _limits(fields)
    margin = 0.08 * (high - low)
    panel.set(xlim=(x[0], x[-1]), ylim=(low - margin, high + margin))
    panel.set(xlabel=f"${task.axes[0]}$", ylabel=f"${u}$")
    panel.grid(alpha=0.2, lw=0.6)
    lines = []
    if fields[0][1] is not None:
        lines += panel.plot([], [], color=MUTED, lw=5, alpha=0.45, label=f"reference ${u}$")
    lines += panel.plot([], [], color=BLUE, lw=1.6, label=rf"network ${u}_\theta$")
    panel.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)

    def show(number: int) -> None:
        network, truth = fields[number]
        for line, values in zip(
            lines, [network] if truth is None else [truth, network], strict=True
        ):
            line.set_data(x, values)

    return show


def _maps(sheet: Any, task: Any, fields: list[Any]) -> Any:
    count, u, images = 1 if fields[0][1] is None else 2, task.outputs[0], []
    for column in range(count):
        panel = sheet.add_subplot(1, count, column + 1)
        values = fields[0][column]
        images.append(panel.pcolormesh(*task.ticks[:2], values.T, **colours(*_limits(fields))))
        panel.set_title([rf"Network ${u}_\theta$", f"Reference ${u}$"][column])
        panel.set(xlabel=f"${task.axes[0]}$", ylabel=f"${task.axes[1]}$")
        panel.set_aspect("equal")
        sheet.colorbar(images[-1], ax=panel, pad=0.02)

    def show(number: int) -> None:
        for image, values in zip(images, fields[number], strict=False):
            image.set_array(values.T)

    return show

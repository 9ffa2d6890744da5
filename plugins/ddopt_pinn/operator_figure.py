"""The figure of a learned operator: test functions, truth and prediction, errors, convergence.

``task`` is an ``Antiderivative`` throughout; it calls this file, so this one does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ddopt.figures import ran, save
from ddopt.palette import BLUE, BRICK, MUTED, OCHRE, PLUM
from ddopt_pinn.convergence import convergence
from ddopt_pinn.figure import DOTS, STYLE, matplotlib

if TYPE_CHECKING:
    from pathlib import Path

    import torch


COLOURS = (BLUE, BRICK, OCHRE, PLUM)


def draw(task: Any, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> Path:
    """Draw ``figure.png`` into ``folder``.

    The functions are those at the quartiles of the error and the worst one, so that none is chosen
    by its looks.
    """
    library, figure = matplotlib()
    u, found = task.reference, task.predict(theta)
    errors = np.linalg.norm(found - u, axis=1) / np.linalg.norm(u, axis=1)
    order = np.argsort(errors)
    shown = [order[round(q * (len(order) - 1))] for q in (0.25, 0.5, 0.75, 1.0)]
    v = task.tests.values(task.ticks)
    with library.rc_context(STYLE):
        sheet = figure(figsize=(13.0, 7.0))
        heading = ["Antiderivatives of Gaussian random fields, by a DeepONet", ran(folder)]
        sheet.suptitle("\n".join(filter(None, heading)), fontsize=13)
        places = [["input", "output", "error"], ["histogram", "evaluations", "seconds"]]
        panels = sheet.subplot_mosaic(places)
        names = ("first quartile", "median", "third quartile", "worst")
        for colour, one, name in zip(COLOURS, shown, names, strict=True):
            panels["input"].plot(task.ticks, v[one], color=colour, lw=1.5)
            panels["output"].plot(task.ticks, u[one], color=colour, lw=5, alpha=0.3)
            panels["output"].plot(task.ticks, found[one], color=colour, lw=1.3, label=name)
            panels["error"].plot(task.ticks, found[one] - u[one], color=colour, lw=1.3)
        panels["output"].legend(frameon=False, fontsize=9)
        titles = {
            "input": ("Test functions", "$v(x)$"),
            "output": ("Antiderivatives: exact (wide), network (thin)", "$u(x)$"),
            "error": ("Pointwise error", r"$u_\theta - u$"),
        }
        for key, (title, label) in titles.items():
            panels[key].set_title(title)
            panels[key].set(xlabel="$x$", ylabel=label)
            panels[key].grid(alpha=0.2, lw=0.6)
            panels[key].margins(x=0.0)
        panels["error"].axhline(0.0, color=MUTED, lw=0.8)
        bins = np.geomspace(errors.min(), errors.max() * (1 + 1e-9), 25)
        panels["histogram"].hist(errors, bins=bins, color=COLOURS[0], alpha=0.8)
        panels["histogram"].set_xscale("log")
        panels["histogram"].set_title(f"Errors of {len(u)} test functions")
        panels["histogram"].set(xlabel="relative $L^2$ error of a function", ylabel="functions")
        convergence(panels, metrics)
        return save(sheet, folder / "figure.png", DOTS)

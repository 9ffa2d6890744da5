"""The figure of patches in the README, from a run on patches in two coordinates.

    ddopt run examples/pinn/burgers_patches.toml --out runs/burgers
    python examples/benchmarks/patches_figure.py runs/burgers docs/images/patches.png

The lightness of all colours falls with the value, so the figure can be read in grey, too.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

from ddopt.figures import INK, MUTED, figure, plain, save
from ddopt.run.record import read
from ddopt.run.trained import trained

LINES = {"color": "white", "lw": 0.5, "alpha": 0.75}
LEVELS = 4  # colours for a decade of the error; the solution has ten times as many
FLOOR = -11  # the smallest exponent of an error that is shown


def plane(task, theta):
    """The axes that are drawn, time across, and solution and error on them."""
    ticks = task.ticks
    mesh = np.stack([one.ravel() for one in np.meshgrid(*ticks, indexing="ij")], 1)
    shape = [len(one) for one in ticks]
    u = task.predict(theta, mesh)[:, 0].reshape(shape)
    error = np.abs(u - task.solution(mesh)[:, 0].reshape(shape))
    if task.axes[1] == "t":
        return ("t", task.axes[0]), ticks[::-1], u, error
    return task.axes, ticks, u.T, error.T


def field(made, axes, place, values, **options):
    names, ticks = place
    image = axes.pcolormesh(*ticks, values, shading="nearest", rasterized=True, **options)
    bar = made.colorbar(image, ax=axes, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)
    plain(axes)
    axes.grid(False)
    axes.set(xlabel=f"${names[0]}$", ylabel=f"${names[1]}$")


def steps(axes, metrics):
    """The error after each step; a last point at the same height is a step that was rejected."""
    rows = [(row["iteration"], row["error"]) for row in metrics if row.get("error")]
    x, y = zip(*rows, strict=True)
    axes.semilogy(x, y, color=INK, lw=1.4, marker="o", markersize=6)
    axes.set(xlabel="Gauss–Newton steps", ylabel="relative $L^2$ error")
    axes.xaxis.get_major_locator().set_params(integer=True)
    last = f"{y[-1]:.1e}"
    axes.annotate(last, (x[-1], y[-1]), (0, 9), textcoords="offset points", ha="center", color=INK)
    axes.margins(x=0.08, y=0.12)
    plain(axes)


def draw(task, theta, metrics):
    names, ticks, u, error = plane(task, theta)
    made = figure(13.2, 3.7)
    left, middle, right = made.subplots(1, 3, width_ratios=(1.15, 1.15, 0.9))
    field(made, left, (names, ticks), u, cmap=colormaps["viridis"].resampled(10 * LEVELS))
    task.decorate(left, names)
    for lines in left.collections[1:]:
        lines.set(**LINES)
    grid = task.config
    left.set_title(f"solution and cells; {grid.features} features in each patch", fontsize=10.5)
    shown = np.log10(np.maximum(error, 10.0**FLOOR))
    top = int(np.ceil(shown.max()))
    decades = colormaps["magma_r"].resampled(LEVELS * (top - FLOOR))
    field(made, middle, (names, ticks), shown, cmap=decades, vmin=FLOOR, vmax=top)
    middle.set_title(r"$\log_{10}$ of the error", fontsize=10.5)
    steps(right, metrics)
    right.set_title("error after each step", fontsize=10.5)
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task, theta = trained(options.run)
    save(draw(task, theta, read(options.run)), options.figure)
    with Image.open(options.figure) as drawn:
        small = drawn.convert("RGB").quantize(256)
    small.save(options.figure, optimize=True)


if __name__ == "__main__":
    main()

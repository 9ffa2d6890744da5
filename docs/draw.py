"""Draws the pictures of the page on concepts into docs/images. Run: python docs/draw.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from contourpy import contour_generator

from ddopt import figures
from ddopt.palette import BLUE, BRICK, DASHED, FAINT, INK, MUTED, OCHRE, OLIVE, SKY, SOLID

HERE = Path(__file__).parent / "images"
PARTS = (BLUE, BRICK, OCHRE, OLIVE)
MARKS = ("o", "^", "s", "x")  # of parts, also in grey
PAPER = {"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none"}  # under a label
START = np.array([-0.55, 0.55])  # θ_k of the recombinations,
BESIDE = np.array([-0.1, -0.3])  # and of the balls: in the valley, ahead of its bend


def f(x, y):
    """A valley that bends."""
    return 1.6 * (y - 0.9 * x**2 + 0.35) ** 2 + 0.35 * (x - 0.75) ** 2


def gradient(p, h=1e-5):
    ex, ey = np.array([h, 0]), np.array([0, h])
    return np.array([(f(*(p + e)) - f(*(p - e))) / (2 * h) for e in (ex, ey)])


def hessian(p, h=1e-4):
    return np.array([(gradient(p + e) - gradient(p - e)) / (2 * h) for e in np.eye(2) * h])


def solved(g, b, radius):
    """The minimiser of gᵀs + sᵀBs/2 in the ball, by looking."""
    r, phi = np.meshgrid(np.linspace(0, radius, 200), np.linspace(0, 2 * np.pi, 721))
    s = np.stack([r * np.cos(phi), r * np.sin(phi)], -1).reshape(-1, 2)
    return s[np.argmin(s @ g + 0.5 * np.einsum("ij,jk,ik->i", s, b, s))]


def corners(line, tolerance=2e-3):
    """The corners of a line (m, 2) that stays within the tolerance: Ramer, Douglas and Peucker."""
    chord, ways = line[-1] - line[0], line - line[0]
    length = np.hypot(*chord)
    away = (
        abs(chord[0] * ways[:, 1] - chord[1] * ways[:, 0]) / length if length else np.hypot(*ways.T)
    )
    k = int(away.argmax())
    if away[k] <= tolerance:
        return line[[0, -1]]
    return np.concatenate([corners(line[: k + 1], tolerance)[:-1], corners(line[k:], tolerance)])


def level_lines(axes, mesh, values, levels, colour):
    """Level lines; a contour of matplotlib's would keep every point where they cross the mesh."""
    made = contour_generator(*mesh, values)
    for line in (line for level in levels for line in made.lines(level)):
        axes.plot(*corners(line).T, color=colour, lw=1.1)


def meshed(box):
    """x and y of a box ((x0, x1), (y0, y1))."""
    return np.meshgrid(*(np.linspace(*side, 200) for side in box))


def plane(axes, title, box):
    """Level lines of f in a box, without numbers."""
    mesh = meshed(box)
    level_lines(axes, mesh, f(*mesh), np.geomspace(0.01, 4, 12), FAINT)
    axes.set(aspect="equal", xticks=[], yticks=[], xlim=box[0], ylim=box[1])
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    for side in axes.spines.values():
        side.set_color(FAINT)


def point(axes, at, text, colour=INK, shift=(6, 6)):
    axes.plot(*at, "o", color=colour, ms=6, zorder=5)
    label(axes, at, text, colour, shift)


def label(axes, at, text, colour, shift):
    axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        color=colour,
        fontsize=11,
        zorder=6,
        bbox=PAPER,
    )


def arrow(axes, begin, end, colour, style="-"):
    axes.annotate(
        "",
        end,
        xytext=begin,
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2, "ls": style, "shrinkB": 0},
    )


def circle(axes, centre, radius, colour):
    axes.add_patch(mpl.patches.Circle(centre, radius, fill=False, ec=colour, ls="--", lw=1.4))


def network(axes, colours):
    """A multilayer perceptron whose connections have the colour of their group."""
    sizes = [2, 4, 4, 4, 1]
    places = [
        np.stack([np.full(n, 1.1 * k), np.linspace(-(n - 1) / 2, (n - 1) / 2, n)], -1)
        for k, n in enumerate(sizes)
    ]
    for k, colour in enumerate(colours):
        style = SOLID if colour == colours[0] else DASHED
        for p in places[k]:
            for q in places[k + 1]:
                axes.plot(*np.stack([p, q]).T, ls=style, color=colour, lw=1.1, alpha=0.8, zorder=1)
    for layer in places:
        axes.plot(*layer.T, "o", color="white", mec=INK, ms=8, zorder=3)
    axes.set(xlim=(-0.4, 4.8), ylim=(-2.4, 2.4), xticks=[], yticks=[])
    axes.axis("off")


def subdomains():
    made = figures.figure(11, 3.1)
    left, middle, right = made.subplots(1, 3)
    rng = np.random.default_rng(1)
    x = rng.random((160, 2))
    part = rng.integers(0, 4, 160)
    for k in range(4):
        left.plot(*x[part == k].T, MARKS[k], color=PARTS[k], ms=4)
    left.set_title("Parts of the samples", loc="left", fontsize=10.5, color=INK)
    box = rng.random((160, 2))
    for k in range(4):
        i, j = divmod(k, 2)
        inside = (box[:, 0] // 0.5 == i) & (box[:, 1] // 0.5 == j)
        middle.plot(*box[inside].T, MARKS[k], color=PARTS[k], ms=4)
        middle.add_patch(
            mpl.patches.Rectangle((i / 2, j / 2), 0.5, 0.5, fill=False, ec=PARTS[k], lw=1.6)
        )
    middle.set_title("Boxes of space (and time)", loc="left", fontsize=10.5, color=INK)
    for axes in (left, middle):
        axes.set(aspect="equal", xticks=[], yticks=[], xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.spines[:].set_color(FAINT)
    network(right, (BLUE, BLUE, BRICK, BRICK))
    right.set_title("Groups of layers", loc="left", fontsize=10.5, color=INK)
    return made


def ball():
    made = figures.figure(9.6, 3.8)
    box = ((-1.0, 1.2), (-1.1, 0.55))
    mesh = meshed(box)
    g, b = gradient(BESIDE), hessian(BESIDE)
    s = np.stack(mesh, -1) - BESIDE
    model = f(*BESIDE) + s @ g + 0.5 * np.einsum("abi,ij,abj->ab", s, b, s)
    for axes, radius, title in zip(
        made.subplots(1, 2),
        (0.75, 0.3),
        ("A ball too large for the model", "A smaller ball"),
        strict=True,
    ):
        plane(axes, title, box)
        inside = np.where(np.hypot(*np.moveaxis(s, -1, 0)) <= radius, model, np.nan)
        level_lines(axes, mesh, inside, np.linspace(model.min(), np.nanmax(inside), 12), SKY)
        circle(axes, BESIDE, radius, BLUE)
        step = solved(g, b, radius)
        arrow(axes, BESIDE, BESIDE + step, INK)
        actual = f(*BESIDE) - f(*(BESIDE + step))
        promised = -(step @ g + 0.5 * step @ b @ step)
        point(axes, BESIDE, r"$\theta_k$", shift=(-16, 6))
        point(axes, BESIDE + step, rf"$\rho = {actual / promised:.2f}$", shift=(9, -4))
    return made


def recombination():
    made = figures.figure(11, 3.2)
    box = ((-1.45, 0.45), (-0.25, 1.2))
    radius = 0.62
    ends = [np.array([0.52, 0.10]), np.array([0.16, -0.55])]
    titles = {"sum": "sum, local balls Δ/N", "mean": "mean, local balls Δ", "best": "best end"}
    for axes, (kind, title) in zip(made.subplots(1, 3), titles.items(), strict=True):
        plane(axes, title, box)
        scale = 0.55 if kind == "sum" else 1.0
        local = [START + scale * end for end in ends]
        circle(axes, START, radius, MUTED)
        if kind == "sum":
            circle(axes, START, radius / 2, MUTED)
        for k, end in enumerate(local):
            arrow(axes, START, end, PARTS[k])
            label(axes, (START + end) / 2, f"$s_{k + 1}$", PARTS[k], ((-4, 8), (-18, -8))[k])
        together = {
            "sum": START + sum(end - START for end in local),
            "mean": sum(local) / 2,
            "best": min(local, key=lambda p: f(*p)),
        }[kind]
        if kind == "sum":
            for k, end in enumerate(local):
                axes.plot(*np.stack([end, together]).T, ":", color=PARTS[1 - k], lw=1.4)
        if kind == "mean":
            axes.plot(*np.stack(local).T, ":", color=MUTED, lw=1.4)
        arrow(axes, START, together, INK)
        point(axes, START, r"$\theta_k$", shift=(-18, 6))
        point(axes, together, r"$\theta_k + s$", INK, (9, -5))
    return made


def acceptance():
    made = figures.figure(10.2, 3.3)
    left, right = made.subplots(1, 2, width_ratios=(1.25, 1))
    t = np.linspace(0, 1, 200)
    model, real = 1 - 1.15 * t + 0.35 * t**2, 1 - 1.15 * t + 0.75 * t**2 - 0.05 * t**3
    left.plot(t, model, color=SKY, lw=2)
    left.plot(t, real, color=INK, lw=2)
    left.text(0.40, model[80] - 0.09, "model", color=BLUE, ha="right", fontsize=10.5)
    left.text(0.50, real[100] + 0.07, "$f$ along the step", color=INK, fontsize=10.5)
    for x, value, colour, words in (
        (1.10, model[-1], BLUE, "predicted decrease"),
        (1.45, real[-1], INK, "actual decrease"),
    ):
        left.annotate(
            "",
            (x, value),
            xytext=(x, 1),
            arrowprops={"arrowstyle": "<->", "color": colour, "lw": 1.6},
        )
        left.text(
            x + 0.03,
            (value + 1) / 2,
            words.replace(" ", "\n"),
            color=colour,
            fontsize=10,
            va="center",
        )
    left.plot([0, 1.47], [1, 1], ":", color=MUTED, lw=1)
    left.set(xlim=(-0.05, 1.9), ylim=(0.05, 1.12), xticks=[0, 1], yticks=[])
    left.set_xticklabels([r"$\theta_k$", r"$\theta_k + s$"], fontsize=11, color=INK)
    left.spines[["top", "right", "left"]].set_visible(False)
    bands = (
        (-0.5, 0.1, BRICK, "rejected:\nradius × ½"),
        (0.1, 0.75, OCHRE, "taken:\nradius stays"),
        (0.75, 1.5, OLIVE, "taken:\nradius × 2"),
    )
    for low, high, colour, words in bands:
        right.axvspan(low, high, color=colour, alpha=0.22, lw=0)
        right.text((low + high) / 2, 0.5, words, ha="center", va="center", color=INK, fontsize=10)
    right.set(xlim=(-0.5, 1.5), ylim=(0, 1), yticks=[], xticks=[0, 0.1, 0.75, 1])
    right.set_xticklabels(["0", r"$\eta_1$", r"$\eta_2$", "1"], fontsize=11, color=INK)
    right.set_xlabel(r"ratio $\rho$ = actual / predicted", color=INK, fontsize=10.5)
    right.spines[["top", "right", "left"]].set_visible(False)
    return made


PICTURES = {
    "subdomains": subdomains,
    "ball": ball,
    "recombination": recombination,
    "acceptance": acceptance,
}


def main(folder: Path = HERE) -> None:
    # Text as paths: it looks the same on every machine; no date, so that a file changes only with
    # the picture in it.
    with mpl.rc_context(
        {"svg.fonttype": "path", "svg.hashsalt": "ddopt", "mathtext.fontset": "cm"}
    ):
        for name, draw in PICTURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

"""Draws the pictures of the page on concepts into docs/images. Run: python docs/draw.py."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from ddopt import figures
from ddopt.palette import BLUE, BRICK, FAINT, INK, MUTED, OCHRE, OLIVE, SKY

HERE = Path(__file__).parent / "images"
PARTS = (BLUE, BRICK, OCHRE, OLIVE)
START = np.array([-0.55, 0.55])  # θ_k, but of the balls:
STEEP = np.array([-0.2, 0.8])


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


def plane(axes, title):
    """Level lines of f, without numbers."""
    x, y = np.meshgrid(np.linspace(-1.25, 1.25, 240), np.linspace(-0.85, 1.15, 200))
    axes.contour(x, y, f(x, y), levels=np.geomspace(0.01, 4, 12), colors=FAINT, linewidths=1.1)
    axes.set(aspect="equal", xticks=[], yticks=[], xlim=(-1.25, 1.25), ylim=(-0.85, 1.15))
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    for side in axes.spines.values():
        side.set_color(FAINT)


def point(axes, at, text, colour=INK, shift=(6, 6)):
    axes.plot(*at, "o", color=colour, ms=6, zorder=5)
    axes.annotate(
        text, at, xytext=shift, textcoords="offset points", color=colour, fontsize=10.5, zorder=6
    )


def arrow(axes, begin, end, colour, style="-"):
    axes.annotate(
        "",
        end,
        xytext=begin,
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 2, "ls": style, "shrinkB": 0},
    )


def circle(axes, centre, radius, colour, style="--"):
    phi = np.linspace(0, 2 * np.pi, 200)
    axes.plot(
        centre[0] + radius * np.cos(phi),
        centre[1] + radius * np.sin(phi),
        style,
        color=colour,
        lw=1.4,
    )


def network(axes, colours):
    """A multilayer perceptron whose connections have the colour of their group."""
    sizes = [2, 4, 4, 4, 1]
    places = [
        np.stack([np.full(n, 1.1 * k), np.linspace(-(n - 1) / 2, (n - 1) / 2, n)], -1)
        for k, n in enumerate(sizes)
    ]
    for k, colour in enumerate(colours):
        for p in places[k]:
            for q in places[k + 1]:
                axes.plot(*np.stack([p, q]).T, color=colour, lw=1.1, alpha=0.8, zorder=1)
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
        left.plot(*x[part == k].T, ".", color=PARTS[k], ms=7)
    left.set_title("Parts of the samples", loc="left", fontsize=10.5, color=INK)
    box = rng.random((160, 2))
    for k in range(4):
        i, j = divmod(k, 2)
        inside = (box[:, 0] // 0.5 == i) & (box[:, 1] // 0.5 == j)
        middle.plot(*box[inside].T, ".", color=PARTS[k], ms=7)
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
    made = figures.figure(9.6, 3.6)
    start = STEEP
    g, b = gradient(start), hessian(start)
    for axes, radius, title in zip(
        made.subplots(1, 2),
        (1.1, 0.42),
        ("A ball too large for the model", "A smaller ball"),
        strict=True,
    ):
        plane(axes, title)
        x, y = np.meshgrid(np.linspace(-1.25, 1.25, 200), np.linspace(-0.85, 1.15, 200))
        s = np.stack([x, y], -1) - start
        model = f(*start) + s @ g + 0.5 * np.einsum("abi,ij,abj->ab", s, b, s)
        inside = np.where(np.linalg.norm(s, axis=-1) <= radius, model, np.nan)
        axes.contour(x, y, inside, levels=10, colors=SKY, linewidths=1.2)
        circle(axes, start, radius, BLUE)
        step = solved(g, b, radius)
        arrow(axes, start, start + step, BLUE)
        actual = f(*start) - f(*(start + step))
        promised = -(step @ g + 0.5 * step @ b @ step)
        point(axes, start, r"$\theta_k$", shift=(-6, 8))
        point(axes, start + step, rf"$\rho = {actual / promised:.2f}$", BLUE, (8, -4))
    return made


def recombination():
    made = figures.figure(11, 3.2)
    radius = 0.62
    ends = [np.array([0.52, 0.10]), np.array([0.16, -0.55])]
    for axes, kind in zip(made.subplots(1, 3), ("sum", "mean", "best"), strict=True):
        plane(
            axes,
            {"sum": "sum, local balls Δ/N", "mean": "mean, local balls Δ", "best": "best end"}[
                kind
            ],
        )
        scale = 0.55 if kind == "sum" else 1.0
        local = [START + scale * end for end in ends]
        circle(axes, START, radius, MUTED)
        if kind == "sum":
            circle(axes, START, radius / 2, FAINT)
        for k, end in enumerate(local):
            arrow(axes, START, end, PARTS[k])
            axes.annotate(
                f"$s_{k + 1}$",
                end,
                xytext=(5, -3),
                textcoords="offset points",
                color=PARTS[k],
                fontsize=11,
            )
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
        point(axes, START, r"$\theta_k$", shift=(-16, 6))
        point(axes, together, r"$\theta_k + s$", INK, (8, 6))
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

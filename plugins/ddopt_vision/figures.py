"""Figures of a classifier: predictions, the confusion matrix, and the course of the run.

``task`` is a ``Classification`` throughout; it calls this file, so this one does not import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.figures import SEQUENTIAL, Curve, Panel, course, figure, heading, ran, save
from ddopt.palette import BLUE, BRICK, FAINT, INK, MUTED

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


ROWS, COLUMNS = 3, 8
PANELS = [
    Panel(
        "loss",
        (
            Curve("loss", "training", MUTED),
            Curve("test_loss", "test", BLUE, best="lowest"),
        ),
        logarithmic=True,
    ),
    Panel("test accuracy", (Curve("accuracy", "test", BRICK, best="highest"),), percent=True),
]


def draw(
    task: Any, scores: torch.Tensor, metrics: list[dict[str, Any]], folder: Path
) -> list[Path]:
    """All figures; ``scores`` (images, classes) are those of the test set."""
    labels = task.test.labels.cpu()
    right = float((scores.argmax(1) == labels).double().mean())
    said = f"{right:.2%} of {len(labels):,} test images right"
    said = "; ".join(filter(None, [ran(folder), said]))
    drawn = [
        save(predictions(task, scores, labels, said), folder / "predictions.png"),
        save(confusion(task, scores.argmax(1), labels, said), folder / "confusion.png"),
    ]
    if metrics:
        drawn.append(save(course(metrics, PANELS, task.title, said), folder / "course.png"))
    return drawn


def predictions(task: Any, scores: torch.Tensor, labels: torch.Tensor, said: str) -> Figure:
    """Two rows of typical test images, and one of the mistakes made with most confidence."""
    sure, predicted = torch.softmax(scores, 1).max(1)
    wrong = (predicted != labels).nonzero().squeeze(1)
    mistakes = wrong[sure[wrong].argsort(descending=True, stable=True)][:COLUMNS]
    typical = torch.linspace(0, len(labels) - 1, (ROWS - 1) * COLUMNS).long()
    made = figure(1.25 * COLUMNS, 1.62 * ROWS + 0.7)
    heading(made, f"{task.title}: predictions", f"{said}; below, the most confident mistakes")
    grid = made.add_gridspec(ROWS, COLUMNS)
    for row, chosen in enumerate((typical[:COLUMNS], typical[COLUMNS:], mistakes)):
        images = task.test.shown(chosen)
        for column, (image, i) in enumerate(zip(images, chosen.tolist(), strict=True)):
            axes = made.add_subplot(grid[row, column])
            _image(axes, image)
            guess, truth = task.classes[predicted[i]], task.classes[labels[i]]
            good = guess == truth
            text = f"{guess}  {sure[i]:.0%}" if good else f"{guess}  {sure[i]:.0%}\nis {truth}"
            axes.set_xlabel(text, fontsize=8.5, color=INK if good else BRICK, labelpad=3)
    return made


def _image(axes: Axes, image: torch.Tensor) -> None:
    gray = image.shape[2] == 1
    shown = image[:, :, 0] if gray else image
    axes.imshow(shown.double().numpy(), cmap="gray_r" if gray else None, vmin=0.0, vmax=1.0)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def confusion(task: Any, predicted: torch.Tensor, labels: torch.Tensor, said: str) -> Figure:
    """How often each class was taken for which; the colours are of the mistakes alone."""
    from matplotlib.colors import LinearSegmentedColormap

    count = len(task.classes)
    table = torch.bincount(labels * count + predicted, minlength=count**2).view(count, count)
    rates = table.double() / table.sum(1, keepdim=True).clamp(min=1)
    mistakes = rates.clone().fill_diagonal_(0.0)
    made = figure(6.2, 6.6)
    key = "off the diagonal the number of mistakes"
    heading(made, f"{task.title}: confusion matrix", f"{said}; {key}")
    axes = made.add_subplot()
    cmap = LinearSegmentedColormap.from_list("mistakes", SEQUENTIAL)
    top = max(float(mistakes.max()), 1e-9)
    axes.imshow(mistakes.numpy(), cmap=cmap, vmin=0.0, vmax=top)
    for i in range(count):
        for j in range(count):
            if not table[i, j]:
                continue
            dark = i != j and mistakes[i, j] > 0.55 * top
            color = "white" if dark else BLUE if i == j else INK
            text = f"{rates[i, j]:.1%}" if i == j else str(int(table[i, j]))
            weight = "bold" if i == j else "normal"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color=color, weight=weight)
    _class_axes(axes, task.classes)
    return made


def _class_axes(axes: Axes, classes: tuple[str, ...]) -> None:
    """One row for the truth, one column for the prediction, thin white lines between them."""
    count = len(classes)
    slanted = max(map(len, classes)) > 2
    axes.set_xticks(range(count), classes, rotation=40 if slanted else 0)
    if slanted:
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    axes.set_yticks(range(count), classes)
    axes.set_xlabel("predicted", fontsize=9.5, color=MUTED)
    axes.set_ylabel("true", fontsize=9.5, color=MUTED)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.set_xticks([i + 0.5 for i in range(count - 1)], minor=True)
    axes.set_yticks([i + 0.5 for i in range(count - 1)], minor=True)
    axes.grid(which="minor", color=FAINT, linewidth=0.8)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_color(FAINT)

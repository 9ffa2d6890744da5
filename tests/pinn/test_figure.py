"""Figures are written, for lines, planes, time, and slices; what is missing is said."""

import sys

import numpy as np
import pytest

from ddopt_pinn.figure import signs
from tests.pinn.problems import prepared

METRICS = [
    {"iteration": k, "evaluations": 5.0 * k, "loss": 10.0**-k, "error": 3.0 * 10.0**-k}
    for k in range(1, 5)
]


@pytest.mark.parametrize("name", ["poisson1d", "poisson2d", "poisson3d", "burgers"])
def test_a_figure_is_written(name, tmp_path):
    task = prepared(name)
    (file,) = task.draw(task.initial, METRICS, tmp_path)
    assert file == tmp_path / "figure.png"
    assert file.read_bytes().startswith(b"\x89PNG")
    assert file.stat().st_size > 20_000


def test_one_figure_per_component_without_reference_or_metrics(tmp_path):
    from ddopt.task import Setting
    from tests.pinn.test_loss import Robin

    task = Robin(interior=9, boundary=8, width=4, depth=1, distribution="uniform")
    task.prepare(Setting())
    files = task.draw(task.initial, [], tmp_path)
    assert [file.name for file in files] == ["figure-u.png", "figure-v.png"]
    assert "error" not in task.measure(task.initial)


@pytest.mark.parametrize(("low", "lines"), [(-1.0, {-0.5: True, 0.5: False}), (0.0, {0.5: False})])
def test_the_signs_of_a_field_differ_without_colour(low, lines):
    """A line at half the scale: dashed below zero, none where nothing is below."""
    from matplotlib.contour import ContourSet
    from matplotlib.figure import Figure

    x = np.linspace(0.0, 1.0, 9)
    values = np.linspace(low, 1.0, 9)[:, None] * np.ones(9)
    made = Figure()
    panel = made.add_subplot()
    image = panel.pcolormesh(x, x, values.T, cmap="RdBu_r", vmin=-1.0, vmax=1.0)
    signs(panel, made.colorbar(image), [x, x], values)
    (drawn,) = [one for one in panel.collections if isinstance(one, ContourSet)]
    dashed = [dashes is not None for _, dashes in drawn.get_linestyle()]
    assert dict(zip(drawn.levels, dashed, strict=True)) == lines


def test_metrics_that_cannot_be_drawn_on_a_logarithmic_axis_are_left_out(tmp_path):
    task = prepared("poisson1d")
    broken = [{"evaluations": 1, "loss": float("nan"), "error": None}, {"loss": 1.0}]
    assert task.draw(task.initial, [*METRICS, *broken], tmp_path)[0].exists()


def test_a_missing_matplotlib_names_the_extra(monkeypatch, tmp_path):
    task = prepared("poisson1d")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .*\[plot\]'"):
        task.draw(task.initial, METRICS, tmp_path)


def test_an_animation_has_the_frames_that_were_asked_for(tmp_path):
    from PIL import Image

    task = prepared("burgers")
    (file,) = task.animate(task.initial, 3, tmp_path)
    with Image.open(file) as movie:
        assert movie.n_frames == 3
    assert prepared("poisson1d").animate(task.initial, 3, tmp_path) == []

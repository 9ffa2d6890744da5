"""Pages of the documentation that code writes: nothing public is left out."""

import importlib
import re
import sys
from types import SimpleNamespace

import pytest

import ddopt
from ddopt.cli import COMMANDS
from ddopt.setup.plugins import manager
from tests.runs import ROOT

pytest.importorskip("mkdocs")
pytest.importorskip("latex2mathml")


@pytest.fixture(scope="module")
def pages():
    return module("pages")


def module(name):
    """A module beside the pages."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_every_public_name_has_its_place(pages):
    named = re.findall(r"^::: ddopt\.(\w+)$", pages.api(), re.MULTILINE)
    assert sorted(named) == sorted(set(ddopt.__all__) - {"__version__"})


def test_every_component_and_every_command_has_its_place(pages):
    found = pages.reference()
    for seam, name, _ in manager().registry:
        assert f"\n## {name}\n" in found[f"reference/options/{seam}.md"]
    for command in COMMANDS:
        assert f"\n## ddopt {command}\n" in found["reference/commands.md"]


def test_text_of_docstrings_is_not_taken_for_marks(pages):
    assert pages.plain("a | b < c, ``x_1`` of :class:`~ddopt.Task`") == (
        "a &#124; b &lt; c, `x_1` of `ddopt.Task`"
    )


def test_formulas_become_mathml_and_links_to_source_their_names(pages):
    shown = pages.on_page_content(
        '<span class="arithmatex">\\(x &lt; y\\)</span>', None, None, None
    )
    assert "<math" in shown
    assert "<mo>&#x0003C;</mo>" in shown
    shown = pages.on_page_content('<td id="a-1e-3">1.5e-03, 2e-4</td>', None, None, None)
    number = '<span class="number">{}</span>'
    assert shown == f'<td id="a-1e-3">{number.format("1.5e-03")}, {number.format("2e-4")}</td>'
    text = "see [`ddopt/task.py`](../../ddopt/task.py) and [prices](../running.md#what)"
    page = SimpleNamespace(file=SimpleNamespace(src_uri="design/prices.md"))
    kept = pages.on_page_markdown(text, page, None, None)
    assert kept == "see `ddopt/task.py` and [prices](../running.md#what)"


def test_headings_have_the_anchors_of_github(pages):
    assert pages.slug("In a DeepXDE script", "-") == "in-a-deepxde-script"
    assert pages.slug("A model of one's own", "-") == "a-model-of-ones-own"


def test_lines_of_a_picture_keep_their_shape_with_few_points():
    pytest.importorskip("matplotlib")
    np = pytest.importorskip("numpy")
    corners = module("draw").corners
    angle = np.linspace(0, 2 * np.pi, 2001)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    few = corners(circle, 2e-3)  # sagitta 1 − cos(π/k) for k chords
    assert np.array_equal(few[[0, -1]], circle[[0, -1]])
    middles = (few[1:] + few[:-1]) / 2
    assert np.hypot(*middles.T).min() >= 1 - 2e-3
    assert np.pi / np.arccos(1 - 2e-3) <= len(few) - 1 <= 128
    assert len(corners(np.stack([angle, 3 * angle], -1))) == 2

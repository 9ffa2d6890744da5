"""The palette: told apart with any eyes, and on any printer."""

from itertools import combinations

import numpy as np
import pytest

from ddopt import palette
from ddopt.palette import COLOURS, LOOKS, looks

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.119192, 0.9503041]]
)  # fmt: skip
SIGHT = {  # Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
    "trichromacy": np.eye(3),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
}  # fmt: skip


def linear(colour):
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(parts):
    """CIE L*a*b* of linear RGB, white D65."""
    t = np.clip(parts, 0, 1) @ TO_XYZ.T / (TO_XYZ @ np.ones(3))
    x, y, z = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(colour):
    """With white paper (WCAG)."""
    return 1.05 / (linear(colour) @ TO_XYZ[1] + 0.05)


def test_the_formulas_know_what_is_known():
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=1e-3)
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)
    red, green = (lab(SIGHT["deuteranopia"] @ linear(c)) for c in ("#c00000", "#6b6b00"))
    assert np.linalg.norm(red - green) < 15  # told apart by nobody who lacks one pigment


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_colours_differ_for_everybody(sight):
    for one, other in combinations(COLOURS, 2):
        pair = [lab(SIGHT[sight] @ linear(colour)) for colour in (one, other)]
        assert np.linalg.norm(pair[0] - pair[1]) > 20, (one, other)


def test_any_two_colours_differ_in_grey_and_from_paper():
    lightness = sorted(lab(linear(colour))[0] for colour in COLOURS)
    assert np.diff(lightness).min() > 5
    assert min(map(contrast, COLOURS)) > 3


@pytest.mark.parametrize("colour", [palette.INK, palette.MUTED])
def test_text_can_be_read(colour):
    assert contrast(colour) > 4.5


def test_no_two_looks_are_alike():
    assert len(set(LOOKS)) == len(LOOKS)


def test_two_thin_lines_of_one_style_differ_in_grey():
    """A thin line shows less of its lightness than an area: 5 apart is not seen, 14 is."""
    light = {colour: lab(linear(colour))[0] for colour in COLOURS}
    for one, other in combinations(LOOKS, 2):
        if one.style == other.style:
            assert abs(light[one.colour] - light[other.colour]) > 14, (one, other)


def test_a_method_keeps_its_look_in_every_company():
    alone = looks([("adam", 6)])
    among = looks([("trust_region", 0), ("ours", None), ("adam", 6)])
    assert among[2] == alone[0]
    assert looks([("ours", None)]) == looks([("ours", None), ("trust_region", 0)])[:1]


def test_two_that_want_one_place_get_two_and_one_method_twice_gets_a_mark():
    found = looks([("a", 0), ("b", 0), ("a", 0)])
    assert found[0].colour == found[2].colour
    assert found[0].style == found[2].style
    assert len(set(found)) == 3

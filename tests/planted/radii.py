"""Radius rules with a defect, and what must be told."""

from __future__ import annotations

import math
import random

import torch

from ddopt.radius.stepwise import Stepwise
from tests.planted.spoil import (
    RANKS,
    RESUMED,
    raises,
    rank,
)

RADII = {
    "returns NaN": (Stepwise, {"update": lambda f, s, t: math.nan}, "it returned nan"),
    "returns a negative number": (Stepwise, {"update": lambda f, s, t: -1.0}, "it returned -1"),
    "returns a tensor": (
        Stepwise,
        {"update": lambda f, s, t: torch.tensor(f)},
        "a tensor of shape",
    ),
    "returns nothing": (Stepwise, {"update": lambda f, s, t: None}, "it returned None"),
    "returns infinity": (Stepwise, {"update": lambda f, s, t: math.inf}, "it returned inf"),
    "never shrinks": (Stepwise, {"update": lambda f, s, t: t.radius}, "must shrink it"),
    "grows on failure": (
        Stepwise,
        {"update": lambda f, s, t: (2.0 if not t.accepted else 1.0) * t.radius},
        "must shrink it",
    ),
    "shrinks on success": (
        Stepwise,
        {"update": lambda f, s, t: 0.5 * t.radius},
        "kept its promise update.. shrinks",
    ),
    "shrinks to nothing where f is not finite": (
        Stepwise,
        {"update": lambda f, s, t: 0.0 if t.ratio == -math.inf else f},
        "a smaller radius",
    ),
    "computes with the slope": (
        Stepwise,
        {"update": lambda f, s, t: f + 0.0 * t.slope},
        "it returned nan",
    ),
    "forgets": (
        Stepwise,
        {"update": lambda f, s, t: f * (1 + 0.01 * (s.calls % 3))},
        RESUMED,
    ),
    "draws": (
        Stepwise,
        {"update": lambda f, s, t: f * (1 + 0.1 * random.random())},
        "numbers of python",
    ),
    "differs by rank": (Stepwise, {"update": lambda f, s, t: f * (1 + 0.1 * rank())}, RANKS),
    "raises": (Stepwise, {"update": raises}, "it raised KeyError"),
}


RADII |= {
    "in absolute lengths": (Stepwise, {"update": lambda f, s, t: min(f, 1.0)}, "from 1000 to 1"),
    "in words": (Stepwise, {"update": lambda f, s, t: str(f)}, "it returned a str"),
    "to a power of the ratio": (
        Stepwise,
        {"update": lambda f, s, t: t.radius * 2.0**t.ratio},
        "where f is not finite",
    ),
}

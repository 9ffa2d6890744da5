"""Subproblems with a defect, and what must be told."""

from __future__ import annotations

import dataclasses

import torch

from ddopt.subproblem import Candidate
from ddopt.subproblem.obs import OBS
from tests.planted.spoil import (
    BUFFER,
    RANDOM,
    RANKS,
    RESUMED,
    in_place,
    kept,
    rank,
)

SUBPROBLEMS = {
    "returns a tensor": (OBS, {"solve": lambda f, s, m, r: f.step}, "ddopt.Candidate"),
    "returns a part": (
        OBS,
        {"solve": lambda f, s, m, r: Candidate(f.step[:3], f.predicted, f.norm)},
        "whose step",
    ),
    "a wrong norm": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, norm=0.5 * f.norm)},
        "must be the length of the step",
    ),
    "a norm that is a tensor": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, norm=f.step.norm())},
        "numbers as Candidate",
    ),
    "leaves the ball": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, step=2 * f.step)},
        "longer than",
    ),
    "says that it leaves the ball": (
        OBS,
        {"solve": lambda f, s, m, r: Candidate(2 * f.step, f.predicted, 2 * f.norm)},
        "of norm at most",
    ),
    "a wrong promise": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, predicted=2 * f.predicted)},
        "predicted must be the decrease",
    ),
    "stands still": (
        OBS,
        {"solve": lambda f, s, m, r: Candidate(0 * f.step, 0.0, 0.0)},
        "worse than the Cauchy",
    ),
    "goes up": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, step=-f.step)},
        "predicted must be",
    ),
    "mutates g": (
        OBS,
        {"solve": lambda f, s, m, r: in_place("gradient", f, m)},
        "changed gradient in place",
    ),
    "keeps a buffer": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, step=kept(f.step, s))},
        BUFFER,
    ),
    "draws": (OBS, {"solve": lambda f, s, m, r: [torch.rand(1), f][1]}, RANDOM),
    "forgets": (
        OBS,
        {"solve": lambda f, s, m, r: shorter(f, m, 1.0 - 1e-10 * s.calls)},
        RESUMED,
    ),
    "differs by rank": (
        OBS,
        {"solve": lambda f, s, m, r: shorter(f, m, 1.0 - 1e-10 * rank())},
        RANKS,
    ),
}


def shorter(found, model, factor):
    return Candidate(factor * found.step, found.predicted, factor * found.norm)

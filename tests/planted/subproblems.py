"""Subproblems with a defect, and what must be told."""

from __future__ import annotations

import dataclasses

import torch

import ddopt
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


class Steepest(ddopt.Subproblem):
    """The Cauchy step, by an author who has forgotten where it is none; ``length`` is his."""

    name = "odd"

    def solve(self, model, radius):
        g, size = model.gradient, float(model.gradient.norm())
        bend = float(g @ model.mv(g))
        t = self.length(radius, size, bend)
        return Candidate(-t * g, t * size**2 - 0.5 * t**2 * bend, t * size)


class Radial(Steepest):
    @staticmethod
    def length(radius, size, bend):
        return min(radius / size, size**2 / bend) if bend > 0.0 else radius / size


class Newtonian(Steepest):
    @staticmethod
    def length(radius, size, bend):
        return min(radius / max(size, 1e-300), size**2 / bend) if size > 0.0 else 0.0


SUBPROBLEMS |= {
    "divides by the gradient": (Radial, {}, "raised ZeroDivisionError where the gradient is zero"),
    "divides by the curvature": (Newtonian, {}, "where the model has no curvature"),
    "a float32 step": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, step=f.step.float())},
        r"shape \(113,\) and torch.float64; it returned",
    ),
    "a step of NaN": (
        OBS,
        {"solve": lambda f, s, m, r: dataclasses.replace(f, step=f.step * torch.nan)},
        "the step has NaN",
    ),
    "changes the model": (
        OBS,
        {"solve": lambda f, s, m, r: [setattr(m, "gradient", 2 * m.gradient), f][1]},
        "has put another gradient into the model",
    ),
    "returns nothing": (OBS, {"solve": lambda *a: None}, "it returned None"),
}

"""Solvers with a defect, and what must be told."""

from __future__ import annotations

import dataclasses
import math
import random

import numpy as np
import torch

import ddopt
from ddopt.acceptance.monotone import Monotone
from ddopt.evaluation.question import Both
from ddopt.solver.trust_region import TrustRegion
from tests.planted.spoil import (
    BUFFER,
    RANDOM,
    RANKS,
    RESUMED,
    UNSEEDED,
    kept,
    raises,
    rank,
)


def answered(**spoilt):
    def spoil(found, self, problem, start, ball, iterations):
        return dataclasses.replace(
            found, **{key: value(found, self, start) for key, value in spoilt.items()}
        )

    return {"iterate": spoil}


def moved(found, self, problem, start, ball, iterations):
    start.theta.add_(1e-6)
    return found


def still(found, self, problem, start, ball, iterations):
    return dataclasses.replace(
        found, step=0.0 * found.step, decrease=0.0, end=start, accepted=0, rejected=1
    )


class Chancy(TrustRegion):
    """Shortens its steps at random."""

    name = "odd"
    source = staticmethod(random.random)

    def propose(self, problem, point, radius):
        return super().propose(problem, point, radius * (0.9 + 0.1 * self.source()))


class Dicey(Chancy):
    name = "odd"
    source = staticmethod(lambda: np.random.default_rng().random())


class Ranked(Chancy):
    name = "odd"
    source = staticmethod(rank)


class Greedy(TrustRegion):
    """Takes ten iterations, whatever it is told."""

    name = "odd"

    def iterate(self, problem, start, ball, iterations):
        return (yield from super().iterate(problem, start, ball, 10))


class Everything(Monotone):
    name = "everything"

    def judge(self, value, trial, predicted):
        return ddopt.Verdict(accepted=math.isfinite(trial), ratio=1.0)


class Careless(TrustRegion):
    """Keeps every trial."""

    name = "odd"

    def __init__(self, config=None, **options):
        super().__init__(config, **options)
        self.region.acceptance = Everything()
        self.region.radius = 5.0


class Absent(TrustRegion):
    name = "odd"

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Clinging(TrustRegion):
    name = "odd"

    def reset(self):
        pass


class Impatient(TrustRegion):
    """Evaluates by itself, where it should ask."""

    name = "odd"

    def iterate(self, problem, start, ball, iterations):
        problem.at(start.theta)
        return (yield from super().iterate(problem, start, ball, iterations))


class Eager(TrustRegion):
    """Answers without a question."""

    name = "odd"

    def iterate(self, problem, start, ball, iterations):
        return ddopt.Answer(0.0 * start.theta, 0.0, start)


def peeking(found, self, problem, start, ball, iterations):
    """Evaluates what is inside the problem that it was given."""
    inner = problem
    while hasattr(inner, "meter") or hasattr(inner, "gate"):
        inner = inner.problem
    for _ in range(20):
        inner.at(start.theta)
    return found


SOLVERS = {
    "returns a tuple": (
        TrustRegion,
        {"iterate": lambda f, *a: (f.step, f.decrease)},
        "ddopt.Answer",
    ),
    "returns nothing": (TrustRegion, {"iterate": lambda f, *a: None}, "it returned None"),
    "returns a list": (TrustRegion, answered(step=lambda f, *a: f.step.tolist()), "a list of 113"),
    "a float32 step": (
        TrustRegion,
        answered(step=lambda f, *a: f.step.float()),
        "torch.float64 on cpu; it returned",
    ),
    "leaves the ball": (
        TrustRegion,
        answered(step=lambda f, *a: 100 * f.step),
        "the ball that it was",
    ),
    "a step that leads elsewhere": (
        TrustRegion,
        answered(step=lambda f, *a: 0.5 * f.step),
        "must lead from the start",
    ),
    "a false end.value": (
        TrustRegion,
        answered(
            end=lambda f, s, start: ddopt.Point(f.end.theta, 0.5 * f.end.value, f.end.gradient),
            decrease=lambda f, s, start: start.value - 0.5 * f.end.value,
        ),
        "and f there is",
    ),
    "a false gradient": (
        TrustRegion,
        answered(end=lambda f, s, start: ddopt.Point(f.end.theta, f.end.value, start.gradient)),
        "is not ∇f there",
    ),
    "a false decrease": (
        TrustRegion,
        answered(decrease=lambda f, *a: 2 * f.decrease),
        "must be f.start. − f.end.",
    ),
    "a decrease that is None": (
        TrustRegion,
        answered(decrease=lambda f, *a: None),
        "Answer.decrease",
    ),
    "does not count": (
        TrustRegion,
        answered(accepted=lambda f, *a: 0, rejected=lambda f, *a: 0),
        "counts its iterations|says that it took",
    ),
    "an end that is no point": (TrustRegion, answered(end=lambda f, *a: f.step), "ddopt.Point"),
    "moves the start": (TrustRegion, {"iterate": moved}, "changed start.theta in place"),
    "keeps a buffer": (TrustRegion, answered(step=lambda f, s, start: kept(f.step, s)), BUFFER),
    "never moves": (TrustRegion, {"iterate": still}, "it has not moved in ten iterations"),
    "ignores iterations": (Greedy, {}, "given 1 iterations, and says that it took 10"),
    "keeps every trial": (Careless, {}, "it ends higher than it began"),
    "forgets": (Absent, {}, RESUMED),
    "reset without effect": (Clinging, {}, r"reset\(\) changes no tensor"),
    "draws": (Chancy, {}, "global random numbers of python"),
    "draws without a seed": (Dicey, {}, UNSEEDED),
    "reseeds torch": (TrustRegion, {"iterate": lambda f, *a: [torch.manual_seed(0), f][1]}, RANDOM),
    "differs by rank": (Ranked, {}, RANKS),
    "evaluates behind the meter": (TrustRegion, {"iterate": peeking}, "were charged"),
    "evaluates by itself": (Impatient, {}, "a solver asks, and whoever carries it out evaluates"),
    "is no generator": (Eager, {}, r"iterate\(\) must be a generator"),
    "raises": (TrustRegion, {"iterate": raises}, "it raised KeyError"),
    "divides by zero": (TrustRegion, {"iterate": lambda *a: 1 / 0}, "it raised ZeroDivisionError"),
}


class Endless(TrustRegion):
    name = "odd"

    def iterate(self, problem, start, ball, iterations):
        while True:
            yield Both(problem, start.theta)


class Pairs(TrustRegion):
    name = "odd"

    def iterate(self, problem, start, ball, iterations):
        yield problem, start.theta


class Elsewhere(TrustRegion):
    """Starts from 0, wherever it is told to start."""

    name = "odd"

    def iterate(self, problem, start, ball, iterations):
        zero = yield Both(problem, torch.zeros_like(start.theta))
        return (yield from super().iterate(problem, zero, ball, iterations))


class Counting(Chancy):
    """Counts on its class."""

    name = "odd"
    total = [0]  # noqa: RUF012 - the defect

    def source(self):
        self.total[0] += 1
        return self.total[0] % 5 / 5


SOLVERS |= {
    "asks without end": (Endless, {}, "and goes on: it must return after so many iterations"),
    "asks by a pair": (Pairs, {}, "and not a tuple of 2"),
    "starts elsewhere": (Elsewhere, {}, "Answer.step must lead from the start to Answer.end"),
    "remembers on its class": (Counting, {}, f"variables of the class|{RESUMED}"),
    "no counts": (TrustRegion, answered(accepted=lambda *a: None), "as counts of iterations"),
    "a count below 0": (TrustRegion, answered(rejected=lambda *a: -1), "as counts of iterations"),
    "a step of NaN": (
        TrustRegion,
        answered(step=lambda f, *a: f.step * math.nan),
        "it returned one of length nan",
    ),
}

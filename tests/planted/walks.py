"""Walks on micro-batches with a defect, and what must be told."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

import ddopt
from ddopt.solver.prodigy import Prodigy
from tests.planted.solvers import answered
from tests.planted.spoil import BUFFER, RANDOM, RANKS, RESUMED, UNSEEDED, kept, raises, rank


class Sober(Prodigy):
    name = "odd"
    stochastic = False


class Forgetful(Prodigy):
    name = "odd"

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def ended(found, self, problem, start, ball, iterations):
    end = ddopt.Point(start.theta + found.step, 0.1, start.gradient)
    return dataclasses.replace(found, end=end)


def twice(found, self, problem, start, ball, iterations):
    problem.problem.problem.at(start.theta + found.step)
    return found


def moved(found, self, problem, start, ball, iterations):
    start.theta.add_(1e-6)
    return found


def longer(factor):
    return Prodigy, answered(step=lambda f, s, start: f.step * factor())


BATCH = {"batch": 8}
WALKS = {
    "says an end": (Prodigy, {"iterate": ended}, "Answer.end must be the start"),
    "leaves the ball": (*longer(lambda: 100.0), "the ball that it was given"),
    "promises a rise": (
        Prodigy,
        answered(decrease=lambda f, *a: -f.decrease),
        "what the gradients promised, a positive number",
    ),
    "a step of NaN": (*longer(lambda: math.nan), "it returned one of length nan"),
    "goes uphill": (*longer(lambda: -1.0), "passes must learn"),
    "draws": (*longer(lambda: 1.0 - 1e-9 * float(torch.rand(()))), RANDOM),
    "draws without a seed": (
        *longer(lambda: 1.0 - 1e-9 * np.random.default_rng().random()),
        UNSEEDED,
    ),
    "says that it is no walk": (Sober, {}, "a walk says stochastic = True"),
    "returns nothing": (Prodigy, {"iterate": lambda *a: None}, "it returned None"),
    "a float32 step": (Prodigy, answered(step=lambda f, *a: f.step.float()), "torch.float64 on"),
    "differs by rank": (*longer(lambda: 1.0 - 1e-9 * rank()), RANKS),
    "forgets": (Forgetful, {}, RESUMED),
    "moves the start": (Prodigy, {"iterate": moved}, "changed start.theta in place"),
    "keeps a buffer": (Prodigy, answered(step=lambda f, s, start: kept(f.step, s)), BUFFER),
    "raises": (Prodigy, {"iterate": raises}, "it raised KeyError"),
}

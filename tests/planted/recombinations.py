"""Recombinations with a defect, and what must be told."""

from __future__ import annotations

import dataclasses
import math

import torch

from ddopt.recombination import Recombined
from ddopt.recombination.sum import Sum
from tests.planted.spoil import (
    BUFFER,
    RANDOM,
    RESUMED,
    in_place,
    kept,
    raises,
)


def stepped(spoil):
    return {"combine": lambda f, s, c: dataclasses.replace(f, step=spoil(f.step, s, c))}


def own_part(found, self, c):
    total = torch.zeros_like(c.point.theta)
    for d, step in c.steps.items():
        total += c.subdomains[d].prolong(step, len(total))
    return Recombined(total, found.predicted)


RECOMBINATIONS = {
    "returns None": (Sum, {"combine": lambda f, s, c: None}, "it returned None"),
    "returns a step": (Sum, {"combine": lambda f, s, c: f.step}, "ddopt.Recombined"),
    "returns a part": (Sum, stepped(lambda x, s, c: x[:5]), r"a tensor of shape \(113,\)"),
    "returns float32": (Sum, stepped(lambda x, s, c: x.float()), "torch.float64"),
    "returns NaN": (Sum, stepped(lambda x, s, c: x * math.nan), "NaN"),
    "leaves the radius": (Sum, stepped(lambda x, s, c: 3.0 * x), r"ball\(\) says how far"),
    "a ball that is too large": (Sum, {"ball": lambda f, s, r, *a: 10 * r}, r"and the radius is"),
    "a ball of NaN": (Sum, {"ball": lambda f, s, *a: math.nan}, "a positive number"),
    "a ball of its own": (Sum, {"ball": lambda f, s, *a: 1e-3}, "in proportion to the radius"),
    "predicts nothing": (
        Sum,
        {"combine": lambda f, s, c: dataclasses.replace(f, predicted=0.0)},
        "must be positive",
    ),
    "predicts a tensor": (
        Sum,
        {"combine": lambda f, s, c: dataclasses.replace(f, predicted=torch.ones(1))},
        "a number as Recombined.predicted",
    ),
    "predicts a rise": (
        Sum,
        {"combine": lambda f, s, c: dataclasses.replace(f, predicted=-f.predicted)},
        "must be positive",
    ),
    "changes θ": (
        Sum,
        {"combine": lambda f, s, c: in_place("theta", f, c.point)},
        "changed θ, the gradient",
    ),
    "changes the steps": (
        Sum,
        {"combine": lambda f, s, c: [[x.mul_(0.5) for x in c.steps.values()], f][1]},
        "changed θ, the gradient, the subdomains' steps",
    ),
    "keeps a buffer": (Sum, stepped(lambda x, s, c: kept(x, s)), BUFFER),
    "adds up its own steps only": (Sum, {"combine": own_part}, "only some of corrections.steps"),
    "differs by rank": (
        Sum,
        {
            "combine": lambda f, s, c: dataclasses.replace(
                f, step=f.step * (1 - 0.1 * c.executor.rank)
            )
        },
        "another step than one process",
    ),
    "draws": (Sum, stepped(lambda x, s, c: x * torch.rand(())), RANDOM),
    "forgets": (Sum, stepped(lambda x, s, c: x / s.calls), RESUMED),
    "raises": (Sum, {"combine": raises}, "it raised KeyError"),
}


class Keeping(Sum):
    """Remembers, and does not forget at ``reset``."""

    name = "odd"
    calls = 0

    def combine(self, corrections):
        self.calls += 1
        found = super().combine(corrections)
        return dataclasses.replace(found, step=found.step / self.calls)

    def reset(self):
        pass

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]


RECOMBINATIONS["reset without effect"] = (Keeping, {}, "after reset")


class Shared(Sum):
    """Weights by the share of what all have gained."""

    name = "odd"

    def combine(self, corrections):
        whole = sum(corrections.decreases)
        return Recombined(corrections.sum([d / whole for d in corrections.decreases]), whole)


def behind(found, self, corrections):
    inner = corrections.problem
    while hasattr(inner, "meter"):
        inner = inner.problem
    inner.at(corrections.point.theta + found.step)
    return found


def own_way(found, self, corrections):
    g = corrections.point.gradient
    return dataclasses.replace(found, step=-0.5 * corrections.radius / g.norm() * g)


RECOMBINATIONS |= {
    "divides by what may be 0": (Shared, {}, "no subdomain has found a step .* ZeroDivisionError"),
    "promises the world": (
        Sum,
        {"combine": lambda f, s, c: dataclasses.replace(f, predicted=1e3 * f.predicted)},
        "a promise that is never kept",
    ),
    "turns the decreases round": (
        Sum,
        {"combine": lambda f, s, c: [c.decreases.reverse(), f][1]},
        "the subdomains' steps or decreases in place",
    ),
    "evaluates behind the meter": (Sum, {"combine": behind}, "has evaluated f 1 times, and 0 were"),
    "goes uphill": (Sum, stepped(lambda x, s, c: -x), "a step along which f rises"),
    "makes nothing of the steps": (Sum, {"combine": own_way}, "the same step whatever the subdom"),
    "a ball that is a tensor": (Sum, {"ball": lambda f, *a: torch.tensor(f)}, "a positive number"),
}

"""Decompositions with a defect, and what must be told."""

from __future__ import annotations

import dataclasses
import os
import random

import numpy as np
import torch

from ddopt.decomposition import Subdomain
from ddopt.decomposition.data import Data
from ddopt.decomposition.layers import Layers
from ddopt.evaluation.problem import Samples
from tests.planted.spoil import (
    BUFFER,
    RANDOM,
    RANKS,
    RESUMED,
    UNSEEDED,
    raises,
    rank,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Leaking(Subdomain):
    def prolong(self, part, n):
        return super().prolong(part, n) + 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Doubling(Subdomain):
    def prolong(self, part, n):
        return 2.0 * super().prolong(part, n)


@dataclasses.dataclass(frozen=True, eq=False)
class Shifted(Subdomain):
    def restrict(self, vector):
        return super().restrict(vector).roll(1)


def of_kind(kind):
    return lambda found, self, p: [kind(s.index, s.indices, s.samples, s.weight) for s in found]


def halves(first, p):
    n = p.layout.size
    return [Subdomain(0, first), Subdomain(1, torch.arange(n))]


def dealt(order, p):
    return [Subdomain(d, samples=Samples((order[d::2],)), weight=0.5) for d in range(2)]


def weighed(found, self, p):
    return [dataclasses.replace(s, weight=0.9) for s in found]


def rotating(found, self, p):
    n = p.layout.size
    return halves(torch.arange(n).roll(self.calls)[: n // 2], p)


DECOMPOSITIONS = {
    "returns None": (Layers, {"split": lambda f, s, p: None}, "it returned None"),
    "returns indices": (Layers, {"split": lambda f, s, p: [x.indices for x in f]}, "a list with"),
    "returns nothing": (Layers, {"split": lambda f, s, p: []}, "a list of 0"),
    "numbers from 1": (
        Layers,
        {"split": lambda f, s, p: [dataclasses.replace(x, index=x.index + 1) for x in f]},
        r"the numbers \[1, 2\]",
    ),
    "raises": (Layers, {"split": raises}, "it raised KeyError: 'weights'"),
    "leaves a hole": (Layers, {"split": lambda f, s, p: f[:1]}, "belong to no subdomain"),
    "leaves samples out": (
        Data,
        {"split": lambda f, s, p: dealt(p.samples.terms[0][:30], p)},
        "samples .30, 31",
    ),
    "takes samples twice": (
        Data,
        {
            "split": lambda f, s, p: dealt(
                torch.cat([p.samples.terms[0][::2]] * 2 + [p.samples.terms[0][1::2]] * 2), p
            )
        },
        "samples twice",
    ),
    "takes samples that are not there": (
        Data,
        {"split": lambda f, s, p: dealt(torch.arange(50), p)},
        "samples of the problem",
    ),
    "takes parameters that are not there": (
        Layers,
        {"split": lambda f, s, p: halves(torch.arange(10**4), p)},
        "distinct integers in 0",
    ),
    "takes parameters twice": (
        Layers,
        {"split": lambda f, s, p: halves(torch.tensor([1, 1]), p)},
        "distinct integers",
    ),
    "takes a list of numbers": (
        Layers,
        {"split": lambda f, s, p: halves([0, 1], p)},
        "a tensor of distinct integers",
    ),
    "weights that sum to 1.8": (Data, {"split": weighed}, "add up to 1, .* 1.8"),
    "prolongs outside": (Layers, {"split": of_kind(Leaking)}, r"writes to \d+ parameters that"),
    "prolongs twice as much": (
        Layers,
        {"split": of_kind(Doubling)},
        r"with fixed weights w in 0..1",
    ),
    "restricts others": (Layers, {"split": of_kind(Shifted)}, r"must be v\[indices\]"),
    "draws without a seed": (
        Layers,
        {"split": lambda f, s, p: halves(torch.randperm(113)[:50], p)},
        RANDOM,
    ),
    "seeds torch": (
        Layers,
        {"split": lambda f, s, p: [torch.manual_seed(0), f][1]},
        RANDOM,
    ),
    "draws from numpy without a seed": (
        Layers,
        {
            "split": lambda f, s, p: halves(
                torch.from_numpy(np.random.default_rng().permutation(113)[:50]), p
            )
        },
        UNSEEDED,
    ),
    "draws from Python's random": (
        Layers,
        {"split": lambda f, s, p: halves(torch.tensor(random.sample(range(113), 50)), p)},
        "global random numbers of python",
    ),
    "differs by rank": (
        Layers,
        {"split": lambda f, s, p: halves(torch.arange(40 + rank()), p)},
        "fails on two processes: .*same sizes",
    ),
    "differs by process": (
        Layers,
        {"split": lambda f, s, p: halves(torch.arange(113).roll(os.getpid() % 113)[:9], p)},
        RANKS,
    ),
    "changes sizes": (
        Layers,
        {"split": lambda f, s, p: halves(torch.arange(40 + s.calls), p)},
        "same sizes",
    ),
    "forgets where it is": (Layers, {"split": rotating}, RESUMED),
}


class Rolling(Layers):
    """Moves on, in one tensor that it writes over; what it remembers it saves."""

    name = "odd"
    at, own = 0, None

    def split(self, problem):
        everything = torch.arange(problem.layout.size)
        self.own = everything.clone() if self.own is None else self.own
        self.own.copy_(everything.roll(self.at))
        self.at += 1
        return halves(self.own[:50], problem)

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


@dataclasses.dataclass(frozen=True, eq=False)
class Turned(Subdomain):
    def prolong(self, part, n):
        return -super().prolong(part, n)


def of_weight(weight):
    return Data, {"split": lambda f, s, p: [dataclasses.replace(x, weight=weight(x)) for x in f]}


def shuffled(found, self, problem):
    term = problem.samples.terms[0]
    term.copy_(term.flip(0))
    return found


DECOMPOSITIONS |= {
    "keeps a buffer": (Rolling, {}, BUFFER),
    "shuffles the samples": (Data, {"split": shuffled}, r"changed samples.terms\[0\] in place"),
    "takes a mask": (
        Layers,
        {"split": lambda f, s, p: halves(torch.arange(113) % 2 == 0, p)},
        "distinct integers .*torch.bool",
    ),
    "counts from the end": (
        Layers,
        {"split": lambda f, s, p: halves(torch.tensor([-1, -2]), p)},
        r"distinct integers in 0..112.* in -2..-1",
    ),
    "takes names of layers": (
        Layers,
        {"split": lambda f, s, p: halves(list(p.layout.layers()), p)},
        r"they are \['0', '2', '4'\]",
    ),
    "samples as a tensor": (
        Layers,
        {"split": lambda f, s, p: [Subdomain(0, samples=torch.arange(3)), Subdomain(1)]},
        "as ddopt.Samples",
    ),
    "a negative weight": (*of_weight(lambda x: -0.5), "weight is a positive number"),
    "a weight of NaN": (*of_weight(lambda x: float("nan")), "weight is a positive number"),
    "a weight as a tensor": (*of_weight(lambda x: torch.tensor(0.5)), "positive number, a float"),
    "prolongs with a sign": (Layers, {"split": of_kind(Turned)}, r"with fixed weights w in 0..1"),
    "returns a dict": (Layers, {"split": lambda f, s, p: dict(enumerate(f))}, "returned a dict"),
}

"""Samplings with a defect, and what must be told."""

from __future__ import annotations

import torch

from ddopt.evaluation.problem import Samples
from ddopt.sampling.batches import Batches
from tests.planted.spoil import (
    BUFFER,
    RANDOM,
    RANKS,
    RESUMED,
    raises,
    rank,
)


class Leftover(Batches):
    """Goes on from the samples of the last call."""

    name = "odd"

    def __init__(self, config=None, **options):
        super().__init__(config, **options)
        self.next = 0

    def samples(self, full, iteration):
        self.next += 1
        return super().samples(full, self.next)


SIZE = {"size": 15}


def termwise(spoil):
    return {"samples": lambda f, s, full, k: Samples(tuple(spoil(t, s, full, k) for t in f.terms))}


class Growing(Batches):
    """Grows with what it observes, and says nothing of it."""

    name = "odd"
    seen = 0

    def draw(self, iteration):
        return 0

    def samples(self, full, iteration):
        return Samples(tuple(term[: 3 + self.seen] for term in full.terms))

    def observe(self, report):
        self.seen += 1

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Writing(Batches):
    """Gives the first of its samples out of one tensor, which it writes over."""

    name = "odd"

    def samples(self, full, iteration):
        found = [term[:1] for term in super().samples(full, iteration).terms]
        if not hasattr(self, "own"):
            self.own = [term.clone() for term in found]
        for own, term in zip(self.own, found, strict=True):
            own.copy_(term)
        return Samples(tuple(self.own))


def turned(found, self, full, iteration):
    full.terms[0].copy_(full.terms[0].flip(0))
    return found


def even(found, self, full, iteration):
    return Samples(tuple(term % 2 == 0 for term in full.terms))


SAMPLINGS = {
    "returns a tensor": (
        Batches,
        {"samples": lambda f, s, *a: f.terms[0]},
        "must return ddopt.Sam",
    ),
    "returns one term": (
        Batches,
        {"samples": lambda f, s, *a: Samples(f.terms[:1])},
        "a tensor for each of the 2",
    ),
    "returns others": (Batches, termwise(lambda t, *a: t + 30), "that are not in D"),
    "returns some twice": (Batches, termwise(lambda t, *a: torch.cat([t, t])), "a sample twice"),
    "returns none": (Batches, termwise(lambda t, *a: t[:0]), "gives none of"),
    "draws": (
        Batches,
        termwise(lambda t, s, f, k: t[torch.randperm(len(t))]),
        RANDOM,
    ),
    "one draw of two sets": (
        Batches,
        {
            "draw": lambda f, s, k: k // 2,
            **termwise(lambda t, s, f, k: t[k % 2 :] if len(t) > 1 else t),
        },
        "share the draw",
    ),
    "depends on the order of calls": (Leftover, {}, "asked for in another order"),
    "differs by rank": (
        Batches,
        termwise(lambda t, s, f, k: t[1:] if rank() and len(t) > 1 else t),
        RANKS,
    ),
    "forgets how it has grown": (
        type("Odd", (Batches,), {"name": "odd", "load_state_dict": lambda self, state: None}),
        {},
        RESUMED,
    ),
    "raises": (Batches, {"samples": raises}, "it raised KeyError"),
}

SAMPLINGS |= {
    "grows without a draw": (Growing, {}, "what was observed may change the next draw only"),
    "keeps a buffer": (Writing, {}, f"{BUFFER}|asked for in another order"),
    "turns D round": (Batches, {"samples": turned}, r"changed full.terms\[0\] in place"),
    "a mask": (Batches, {"samples": even}, "tensors of integers .* and torch.bool"),
    "floats": (Batches, termwise(lambda t, *a: t.double()), "tensors of integers"),
    "half a draw": (
        Batches,
        {"draw": lambda f, s, k: k / 2},
        "whole numbers from 0; it gave .0.0",
    ),
    "no draw": (Batches, {"draw": lambda *a: None}, "whole numbers from 0"),
    "cannot observe": (Batches, {"observe": raises}, "it raised KeyError"),
}

"""Samplings with a defect, and what must be told."""

from __future__ import annotations

import torch

from ddopt.evaluation.problem import Samples
from ddopt.sampling.batches import Batches
from tests.planted.spoil import (
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
        f"{RANDOM}|asked for in another order",
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

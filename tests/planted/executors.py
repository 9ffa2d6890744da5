"""Executors with a defect, and what must be told."""

from __future__ import annotations

import dataclasses

import torch

from ddopt.executor import Serial
from tests.planted.spoil import kept, raises


def carried(spoil):
    return Serial, {"carry_out": lambda found, self, askings: spoil(found)}


def swapped(found):
    return dict(zip(found, reversed(list(found.values())), strict=True))


def rounded(found):
    return {
        d: dataclasses.replace(one, step=one.step.float().double()) if hasattr(one, "step") else one
        for d, one in found.items()
    }


class Answering(Serial):
    """Answers as an author might; ``told`` is what a question is told."""

    name = "odd"

    def carry_out(self, askings):
        return {d: self.driven(asking) for d, asking in askings.items()}

    def driven(self, asking):
        told = None
        while True:
            try:
                told = self.told(asking.send(told))
            except StopIteration as end:
                return end.value


class Twice(Answering):
    def told(self, question):
        question.answer()
        return question.answer()


class Inside(Answering):
    """Evaluates what is inside the wrappers, which charge."""

    def told(self, question):
        problem = question.problem
        while hasattr(problem, "meter"):
            problem = problem.problem
        return dataclasses.replace(question, problem=problem).answer()


class Hasty(Answering):
    """Takes the first question for the answer."""

    def driven(self, asking):
        return next(asking)


class Added(Serial):
    """Adds up in the first vector."""

    name = "odd"

    def sum(self, vectors, count, like):
        right = super().sum(vectors, count, like)
        return vectors[0].copy_(right)


EXECUTORS = {
    "loses a subdomain": (*carried(lambda f: {d: f[d] for d in f if d != 2}), "asked for"),
    "swaps answers": (*carried(swapped), "Each asking must be told the answers to its own"),
    "rounds to float32": (*carried(rounded), "off that of serial"),
    "returns nothing": (*carried(lambda f: None), "it returned None"),
    "returns the askings": (
        type("Odd", (Serial,), {"name": "odd", "carry_out": lambda self, askings: askings}),
        {},
        "for 0 it returned a generator",
    ),
    "answers one question": (Hasty, {}, "answered to its end, by subdomain; for 0 it returned a"),
    "evaluates twice": (Twice, {}, "evaluations, and serial charges"),
    "evaluates inside": (Inside, {}, "evaluations, and serial charges"),
    "owns too few": (Serial, {"owned": lambda f, s, n: range(n - 1)}, "each to one process"),
    "numbers that are tensors": (
        Serial,
        {"numbers": lambda f, *a: [torch.tensor(row) for row in f]},
        "as lists of floats",
    ),
    "sums in another order": (
        Serial,
        {"sum": lambda f, s, vectors, n, like: sum(vectors[d] for d in reversed(range(n)))},
        "in the order of ddopt.executor.tree_sum",
    ),
    "sums in place": (Added, {}, "a vector that it was given in place"),
    "a buffer of its own": (Serial, {"sum": lambda f, s, *a: kept(f, s)}, "a buffer of its own"),
    "each in another order": (Serial, {"each": lambda f, *a: f[::-1]}, r"each\(\) must give"),
    "picks another": (
        Serial,
        {"pick": lambda f, s, vectors, d, like: vectors[0]},
        r"pick\(\) must give the vector of subdomain d",
    ),
    "raises": (Serial, {"carry_out": raises}, "it raised KeyError"),
}

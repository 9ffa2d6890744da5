"""Micro-batches: one pass over the samples of a problem, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddopt.evaluation.problem import Problem


def micro_batches(problem: Problem, size: int, number: int) -> Iterator[Problem]:
    """f over each of the micro-batches of the ``number``-th pass; each sample is in one of them.

    The order depends on ``number`` alone. Raises ``ValueError`` where f is no mean over samples.
    """
    samples = problem.samples
    if samples is None:
        raise ValueError(
            "micro-batches need a problem with samples, and this one has none; "
            "choose another solver"
        )
    random = generator("micro-batches", number)
    terms = (term[torch.randperm(len(term), generator=random)] for term in samples.terms)
    for piece in Samples(tuple(terms)).chunks(size):
        yield problem.part(Samples(tuple(term.sort().values for term in piece.terms)))

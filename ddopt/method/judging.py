"""Samples set aside: what compares f before and after is not what the steps were made from.

A decrease that is measured on the samples of the steps themselves flatters them. A small sample of
its own for every iteration is cheap and honest; Krejić, Krklec Jerinkić, Martínez and Yousefi
(ASNTR, Comput. Optim. Appl. 2024) judge by an independent sample for the same reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem


def set_aside(problem: Problem, fraction: float, number: int) -> tuple[Problem, Problem]:
    """f over ``fraction`` of the samples, drawn for the ``number``-th time, and f over the rest.

    Raises ``ValueError`` where f has no samples to draw from, or a term of it only one.
    """
    samples = problem.samples
    if samples is None or min(samples.counts) < 2:
        raise ValueError(
            "samples are to be set aside to judge the steps by, and this problem has "
            f"{'none' if samples is None else samples.counts} (per loss term); set judged = 0"
        )
    random = generator("set aside", problem.draw, number)
    aside, rest = [], []
    for term in samples.terms:
        order = torch.randperm(len(term), generator=random)
        count = min(max(1, round(fraction * len(term))), len(term) - 1)
        aside.append(term[order[:count].sort().values])
        rest.append(term[order[count:].sort().values])
    judge, work = problem.part(Samples(tuple(aside))), problem.part(Samples(tuple(rest)))
    judge.draw = work.draw = problem.draw
    return judge, work

"""The check of samplings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.problem import Samples
from ddopt.method import contract
from ddopt.method.parts import StepReport
from ddopt.testing.conduct import bits, check_conduct, fresh, untouched
from ddopt.testing.start import begin
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.sampling import Sampling

COUNTS = (37, 12)  # samples of the two terms of a loss
DRAWN = 12  # iterations


@told
def check_sampling(sampling: Sampling, *, ranks: bool = True) -> None:
    """Samples are some of D, follow from seed and draw, and are those of a resumed run."""
    full = Samples.all(*COUNTS)
    one = _prepared(sampling)
    draws = [one.draw(k) for k in range(DRAWN)]
    whole = all(isinstance(draw, int) and draw >= 0 for draw in draws)
    require(whole, sampling, f"draw() must give whole numbers from 0; it gave {draws!r:.60}")
    terms = {f"full.terms[{i}]": term for i, term in enumerate(full.terms)}
    found = []
    for k in range(DRAWN):
        with untouched(sampling, "samples()", **terms):
            found.append(one.samples(full, k))
    for k, samples in enumerate(found):
        _check_samples(sampling, samples, full, k)
    backwards = _prepared(sampling)
    for k in reversed(range(DRAWN)):
        require(
            bits(_terms(backwards.samples(full, k))) == bits(_terms(found[k])),
            sampling,
            "samples() must follow from the iteration alone: asked for in another order, iteration "
            f"{k} has other samples. A run that is resumed begins in the middle",
        )
    for k in range(1, DRAWN):
        same = bits(_terms(found[k])) == bits(_terms(found[k - 1]))
        require(
            same or draws[k] != draws[k - 1],
            sampling,
            f"iterations {k - 1} and {k} share the draw {draws[k]} and not the samples: draw() "
            "must give another number, or f is compared on two sets of samples",
        )
    problem, _ = begin(None)
    require(one.problem(problem, 0).samples is not None, sampling, "problem() has lost its samples")

    def advance(chosen: Any, i: int) -> Any:
        chosen.prepare(7)
        samples, draw = chosen.samples(full, i), chosen.draw(i)
        chosen.observe(StepReport(iteration=i, loss=1.0 + i % 2, refuted=i % 2))
        return [_terms(samples), draw]

    course = check_conduct(sampling, advance, "samples()", ranks=ranks)
    for k in range(1, len(course)):
        (before, number), (after, next_number) = course[k - 1], course[k]
        require(
            bits(before) == bits(after) or number != next_number,
            sampling,
            f"after observe() iteration {k} has other samples than the one before, and the same "
            f"draw {number}: what was observed may change the next draw only, and draw() must give "
            "another number, or f is compared on two sets of samples",
        )


def _prepared(sampling: Sampling) -> Any:
    one = fresh(sampling)
    one.prepare(7)
    return one


def _terms(samples: Samples) -> list[torch.Tensor]:
    return list(samples.terms)


def _check_samples(sampling: Sampling, samples: Any, full: Samples, k: int) -> None:
    right = isinstance(samples, Samples) and len(samples.terms) == len(full.terms)
    require(
        right,
        sampling,
        f"samples() must return ddopt.Samples with a tensor for each of the {len(full.terms)} "
        f"terms of the loss; it returned {samples!r:.60}",
    )
    for number, (term, everything) in enumerate(zip(samples.terms, full.terms, strict=True)):
        place = f"term {number} in iteration {k}"
        whole = isinstance(term, torch.Tensor) and term.dtype in (torch.int32, torch.int64)
        require(
            whole,
            sampling,
            "samples() must give numbers of samples, tensors of integers that are taken from "
            f"full.terms; for {place} it gives {contract.described(term)}",
        )
        require(len(term) > 0, sampling, f"samples() gives none of {place}")
        inside = bool(torch.isin(term, everything).all())
        require(inside, sampling, f"samples() gives samples that are not in D, for {place}")
        distinct = len(term.unique()) == len(term)
        require(distinct, sampling, f"samples() gives a sample twice, for {place}")

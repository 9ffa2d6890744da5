"""The check of samplings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.problem import Samples
from ddopt.method.parts import StepReport
from ddopt.testing.conduct import bits, check_conduct, fresh, require, told
from ddopt.testing.start import begin

if TYPE_CHECKING:
    from ddopt.sampling import Sampling

COUNTS = (37, 12)  # samples of the two terms of a loss
DRAWN = 12  # iterations


@told
def check_sampling(sampling: Sampling, *, ranks: bool = True) -> None:
    """Samples are some of D, follow from seed and draw, and are those of a resumed run."""
    full = Samples.all(*COUNTS)
    one = _prepared(sampling)
    found = [one.samples(full, k) for k in range(DRAWN)]
    draws = [one.draw(k) for k in range(DRAWN)]
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
        samples = chosen.samples(full, i)
        chosen.observe(StepReport(iteration=i, loss=1.0 + i % 2, refuted=i % 2))
        return [_terms(samples), chosen.draw(i)]

    check_conduct(sampling, advance, "samples()", ranks=ranks)


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
        require(len(term) > 0, sampling, f"samples() gives none of {place}")
        inside = bool(torch.isin(term, everything).all())
        require(inside, sampling, f"samples() gives samples that are not in D, for {place}")
        distinct = len(term.unique()) == len(term)
        require(distinct, sampling, f"samples() gives a sample twice, for {place}")

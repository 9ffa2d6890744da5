"""Data decomposition: every subdomain moves all parameters and sees part of the samples."""

from __future__ import annotations

import torch
from pydantic import Field

from ddopt.decomposition.decomposition import Decomposition, Subdomain
from ddopt.evaluation.problem import Problem, Samples
from ddopt.setup.component import Settings


def deal(counts: tuple[int, ...], parts: int) -> list[Samples]:
    """A partition of the samples 0..counts-1 of each term: part i gets i, i+parts, i+2 parts, ...

    Dealing like cards gives parts that differ by at most one sample in every term, and spreads
    sorted samples (points along a boundary) evenly.

    Raises:
        ValueError: a part would have no sample at all.
    """
    if parts > max(counts):
        raise ValueError(
            f"cannot cut {max(counts)} samples into {parts} parts; use at most {max(counts)}"
        )
    return [
        Samples(tuple(torch.arange(min(i, count), count, parts) for count in counts))
        for i in range(parts)
    ]


def widen(part: Samples, counts: tuple[int, ...], overlap: float, parts: int) -> Samples:
    """``part`` with the first samples of the parts after it, until it holds 1/parts + overlap.

    ``overlap`` is the fraction of all samples added to each part, so overlap = 1 - 1/parts makes
    every part the whole set.
    """
    terms = []
    for own, count in zip(part.terms, counts, strict=True):
        if not len(own):
            terms.append(own)
            continue
        start = int(own[0])
        wanted = min(count, len(own) + round(overlap * count))
        order = torch.cat([torch.arange((start + j) % parts, count, parts) for j in range(parts)])
        terms.append(order[:wanted].sort().values)
    return Samples(tuple(terms))


class Data(Decomposition):
    """N parts of the samples D, all parameters in each (SAPTS_D, APTS)."""

    name = "data"

    class Config(Settings):
        """Options of the data decomposition."""

        subdomains: int = Field(2, ge=1, description="number of parts N")
        overlap: float = Field(
            0.0, ge=0.0, le=1.0, description="fraction of D added to each part beyond its 1/N"
        )

    def split(self, problem: Problem) -> list[Subdomain]:
        """Deal the samples to N parts; one part of everything is the problem itself."""
        parts = self.config.subdomains
        if parts == 1:
            return [Subdomain(0)]
        samples = problem.samples
        if samples is None:
            raise ValueError(
                "the data decomposition needs a problem with samples, and this one has none; "
                "decompose its layers instead, call step(closure, batch), or compile a DeepXDE "
                "model by ddopt_pinn.compile"
            )
        fewest = min((count for count in samples.counts if count), default=0)
        if fewest < parts:
            raise ValueError(
                f"cannot deal {samples.counts} samples (per loss term) to {parts} subdomains: each "
                f"needs at least one of each term; use at most {fewest} subdomains, or, where the "
                'samples are points, boxes, which do without (strategy sapts_pinn, variant="PINN")'
            )
        subdomains = []
        for index, dealt in enumerate(deal(samples.counts, parts)):
            own = widen(dealt, samples.counts, self.config.overlap, parts)
            chosen = Samples(
                tuple(term[pick] for term, pick in zip(samples.terms, own.terms, strict=True))
            )
            weight = len(dealt) / len(samples)
            subdomains.append(Subdomain(index, samples=chosen, weight=weight))
        return subdomains

"""Spatial decomposition: every subdomain sees the samples in a box of space (and time)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from ddopt.decomposition.decomposition import Decomposition, Subdomain
from ddopt.evaluation.blank import Blank
from ddopt.evaluation.problem import Problem, Samples
from ddopt.setup.component import Settings

Cut = Literal["count", "width"]


@dataclass(frozen=True)
class Box:
    """A box, and the points that lie in it; every point lies in one box."""

    lower: torch.Tensor  # shape: (dimensions,)
    upper: torch.Tensor
    points: torch.Tensor  # indices, sorted

    def cut(self, x: torch.Tensor, axis: int, count: int, by: Cut) -> list[Box]:
        """The box in ``count`` slabs across an axis, the points ``x`` (m, d) shared out."""
        along = x[self.points, axis]
        if by == "width":
            fractions = torch.arange(1, count, dtype=x.dtype) / count
            inner = self.lower[axis] + fractions * (self.upper[axis] - self.lower[axis])
        else:
            inner = quantiles(along, count)
        owner = torch.searchsorted(inner, along, right=True)
        edges = torch.cat([self.lower[axis, None], inner, self.upper[axis, None]])
        slabs = []
        for i in range(count):
            lower, upper = self.lower.clone(), self.upper.clone()
            lower[axis], upper[axis] = edges[i], edges[i + 1]
            slabs.append(Box(lower, upper, self.points[owner == i]))
        return slabs

    def widened(self, x: torch.Tensor, overlap: float) -> torch.Tensor:
        """The points of ``x`` (m, d) in the box and in a margin around it, sorted."""
        if overlap == 0.0:
            return self.points
        margin = overlap * (self.upper - self.lower)
        inside = (x >= self.lower - margin) & (x <= self.upper + margin)
        return inside.all(1).nonzero().flatten()


def quantiles(along: torch.Tensor, count: int) -> torch.Tensor:
    """The ``count`` − 1 faces that share coordinates (m,) out as equally as they can be.

    A face lies midway between two different coordinates, so that no box is flat where many points
    lie in a plane, as those of an initial condition do.
    """
    values, repeated = along.unique(return_counts=True)
    before = repeated.cumsum(0)[:-1]  # points before the gap after each value
    if len(before) < count - 1:
        raise ValueError(
            f"cannot cut {len(values)} different coordinates into {count} slabs; use fewer boxes, "
            "or more points"
        )
    gaps: list[int] = []
    for i in range(1, count):
        first, end = (gaps[-1] + 1 if gaps else 0), len(before) - (count - 1 - i)
        off = (before[first:end] * count - i * len(along)).abs()
        gaps.append(first + int(off.argmin()))
    return 0.5 * (values[gaps] + values[[gap + 1 for gap in gaps]])


def cut_up(x: torch.Tensor, splits: Sequence[int], by: Cut) -> list[Box]:
    """Cut the bounding box of the points ``x`` (m, d) axis after axis."""
    found = [Box(x.amin(0), x.amax(0), torch.arange(len(x)))]
    for axis, count in enumerate(splits):
        found = [slab for box in found for slab in box.cut(x, axis, count, by)]
    return found


def along_longest(extents: Sequence[float], count: int) -> list[int]:
    """How often to cut each axis for ``count`` boxes: the longest side first, by prime factors."""
    splits = [1] * len(extents)
    factor = 2
    primes = []
    while count > 1:
        while count % factor == 0:
            primes.append(factor)
            count //= factor
        factor += 1
    for prime in reversed(primes):
        sides = [extent / n for extent, n in zip(extents, splits, strict=True)]
        splits[sides.index(max(sides))] *= prime
    return splits


class BoxSettings(Settings):
    """Options of the boxes; ``subdomains`` follows from ``splits`` where those are given."""

    subdomains: int = Field(2, ge=1, description="number of boxes N, cut across the longest axes")
    splits: list[int] | None = Field(
        None, description="boxes along each coordinate instead, time last: [2, 2]"
    )
    cut: Cut = Field("count", description="boxes of equal count of points, or of equal width")
    overlap: float = Field(
        0.0,
        ge=0.0,
        description="how far a box reaches beyond its faces, as a fraction of its width",
    )

    @model_validator(mode="before")
    @classmethod
    def _count(cls, options: Any) -> Any:
        if not isinstance(options, dict) or options.get("splits") is None:
            return options
        splits = options["splits"]
        if not splits or any(not isinstance(n, int) or n < 1 for n in splits):
            raise ValueError(f"splits = {splits}: give a number of boxes, 1 or more, for each axis")
        count = math.prod(splits)
        if options.get("subdomains", count) != count:
            raise ValueError(
                f"splits = {splits} makes {count} boxes, but subdomains = {options['subdomains']}; "
                "give one of the two"
            )
        return {**options, "subdomains": count}


class Boxes(Decomposition):
    """N boxes of the points of all terms of the loss; all parameters in each (SAPTS_PINN).

    A box takes its share of every term as f weighs it, f_d = (|D|/|D_d|) Σ_t (1/m_t) Σ_{i in D_d}
    ℓ_{t,i}, so without overlap Σ_d (|D_d|/|D|) f_d = f, gradients included, and a box without
    boundary points is as good as any. With overlap a point counts in full in every box that it lies
    in: f_d estimates f from the enlarged box, while the weights stay those of the boxes without
    overlap, which add up to 1.
    """

    name = "boxes"

    class Config(BoxSettings):
        """Options of the boxes."""

    def regions(self, problem: Problem) -> tuple[list[Box], torch.Tensor]:
        """The boxes, and the points (m, dimensions) of all terms, term after term.

        Raises ``ValueError`` if the problem does not say where its samples lie, or if a box would
        be empty.
        """
        assert problem.samples is not None
        terms = enumerate(problem.samples.terms)
        x = torch.cat([problem.coordinates(t)[index] for t, index in terms]).detach().cpu()
        dimensions = x.shape[1]
        splits = self.config.splits
        if splits is None:
            extents = (x.amax(0) - x.amin(0)).tolist()
            splits = along_longest(extents, self.config.subdomains)
        if len(splits) > dimensions:
            raise ValueError(f"splits = {splits}, but the points have {dimensions} coordinates")
        found = cut_up(x, splits, self.config.cut)
        empty = [i for i, box in enumerate(found) if len(box.points) == 0]
        if empty:
            raise ValueError(
                f"no point lies in box {empty[0]} of splits {splits}; use fewer boxes, more "
                "points, or cut = 'count'"
            )
        return found, x

    def split(self, problem: Problem) -> list[Subdomain]:
        """Cut the points by boxes; one box is the problem itself."""
        count = self.config.subdomains
        if count == 1:
            return [Subdomain(0)]
        if problem.samples is None:
            raise ValueError(
                "the spatial decomposition needs a problem with points, and this one has no "
                "samples; decompose its layers instead, or compile a DeepXDE model by "
                "ddopt_pinn.compile"
            )
        if isinstance(problem, Blank):  # nothing is known of its points but that there will be some
            return [Subdomain(d, samples=problem.samples) for d in range(count)]
        found, x = self.regions(problem)
        subdomains = []
        for index, box in enumerate(found):
            own = box.widened(x, self.config.overlap)
            samples = by_term(own, problem.samples)
            weight = len(box.points) / len(x)
            subdomains.append(Subdomain(index, samples=samples, weight=weight, proportional=True))
        return subdomains


def by_term(own: torch.Tensor, samples: Samples) -> Samples:
    """The samples at sorted places of all terms laid end to end."""
    terms, start = [], 0
    for index in samples.terms:
        here = own[(own >= start) & (own < start + len(index))] - start
        terms.append(index[here.to(index.device)])
        start += len(index)
    return Samples(tuple(terms))

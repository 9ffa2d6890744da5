"""Layer decomposition: disjoint groups of layers, each seeing all samples (SAPTS_P)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Literal

import torch
from pydantic import Field

from ddopt.decomposition.decomposition import Decomposition, Subdomain
from ddopt.evaluation.problem import Problem
from ddopt.numerics.space import Layout
from ddopt.setup.component import Settings


def balanced(sizes: list[int], groups: int) -> list[list[int]]:
    """Cut a sequence into contiguous groups whose largest sum is as small as possible."""
    low, high = max(sizes), sum(sizes)
    while low < high:
        middle = (low + high) // 2
        count, room = 1, middle
        for size in sizes:
            if size > room:
                count, room = count + 1, middle
            room -= size
        low, high = (low, middle) if count <= groups else (middle + 1, high)
    cut: list[list[int]] = [[]]
    room = low
    for i, size in enumerate(sizes):
        missing = groups - len(cut)
        if cut[-1] and (size > room or len(sizes) - i == missing):
            cut.append([])
            room = low
        cut[-1].append(i)
        room -= size
    return cut


class Layers(Decomposition):
    """Disjoint groups of layers; the layers outside a group are held."""

    name = "layers"

    class Config(Settings):
        """Options of the layer decomposition."""

        subdomains: int = Field(2, ge=1, description="number of groups N")
        grouping: Literal["balanced", "module", "random"] = Field(
            "balanced",
            description="balanced: contiguous, by parameter count; module: one group per layer, "
            "dealt round-robin; random: layers dealt by a seeded permutation",
        )
        patterns: list[list[str]] | None = Field(
            None, description="explicit groups of parameter name patterns ('encoder.*')"
        )
        seed: int = Field(0, description="seed of the random grouping")

    def split(self, problem: Problem) -> list[Subdomain]:
        """Group the layers; one group of everything is the problem itself."""
        if self.config.patterns is not None:
            groups = self._by_pattern(problem.layout)
        else:
            groups = self._by_layer(problem.layout)
        if len(groups) == 1:
            return [Subdomain(0)]
        return [Subdomain(i, indices=_index(ranges)) for i, ranges in enumerate(groups)]

    def _by_layer(self, layout: Layout) -> list[list[slice]]:
        layers = list(layout.layers().values())
        count = self.config.subdomains
        if count > len(layers):
            raise ValueError(
                f"cannot group {len(layers)} layers into {count} subdomains; "
                f"use at most {len(layers)}"
            )
        if self.config.grouping == "balanced":
            sizes = [sum(piece.stop - piece.start for piece in layer) for layer in layers]
            chosen = balanced(sizes, count)
        else:
            order = list(range(len(layers)))
            if self.config.grouping == "random":
                generator = torch.Generator().manual_seed(self.config.seed)
                order = torch.randperm(len(layers), generator=generator).tolist()
            chosen = [sorted(order[i::count]) for i in range(count)]
        return [[piece for i in group for piece in layers[i]] for group in chosen]

    def _by_pattern(self, layout: Layout) -> list[list[slice]]:
        groups: list[list[slice]] = [[] for _ in self.config.patterns]
        for name, piece in zip(layout.names, layout.slices, strict=True):
            owners = [
                i
                for i, patterns in enumerate(self.config.patterns)
                if any(fnmatchcase(name, pattern) for pattern in patterns)
            ]
            if len(owners) != 1:
                raise ValueError(
                    f"parameter {name!r} belongs to {len(owners)} of the groups in patterns; "
                    "every parameter must match exactly one group"
                )
            groups[owners[0]].append(piece)
        if not all(groups):
            empty = groups.index([])
            raise ValueError(
                f"no parameter matches group {empty}, {self.config.patterns[empty]}; the "
                f"parameters are {', '.join(layout.names)}"
            )
        return groups


def _index(ranges: list[slice]) -> torch.Tensor | slice:
    """One slice where the ranges touch each other, ascending indices otherwise.

    The ranges of a layer lie apart where parameters are listed by kind, all weights before all
    biases for example, and those of the next layer between them.
    """
    ranges = sorted(ranges, key=lambda piece: piece.start)
    start, stop = ranges[0].start, ranges[-1].stop
    if sum(piece.stop - piece.start for piece in ranges) == stop - start:
        return slice(start, stop)
    return torch.cat([torch.arange(piece.start, piece.stop) for piece in ranges])

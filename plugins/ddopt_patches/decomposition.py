"""The decomposition into patches: a subdomain moves the parameters of some patches, the others
hold.

A subdomain needs only the rows that touch its patches, so its objective is f at a share of the
cost, and there is nothing to make consistent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field, model_validator

from ddopt.decomposition.boxes import along_longest
from ddopt.decomposition.decomposition import Decomposition, Subdomain
from ddopt.evaluation.problem import Problem
from ddopt.setup.component import Settings
from ddopt_patches.problem import PatchProblem

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid


class PatchSettings(Settings):
    """How patches are grouped."""

    subdomains: int = Field(2, ge=1, description="number of boxes of patches N")
    splits: list[int] | None = Field(
        None, description="boxes of patches along each axis instead, time last: [2, 2]"
    )
    overlap: int = Field(
        0, ge=0, description="rows of neighbouring patches that a box moves beside its own"
    )
    coloured: bool = Field(
        False,
        description="2^d subdomains instead, each of patches that no cell has in common: their "
        "local solves do not see each other",
    )

    @model_validator(mode="before")
    @classmethod
    def _count(cls, options: Any) -> Any:
        if isinstance(options, dict) and options.get("splits"):
            count = math.prod(options["splits"])
            if options.get("subdomains", count) != count:
                raise ValueError(
                    f"splits = {options['splits']} makes {count} boxes of patches, but subdomains "
                    f"= {options['subdomains']}; give one of the two"
                )
            return {**options, "subdomains": count}
        return options


class ByPatches(Decomposition):
    """Boxes of patches, or colours; goes with the recombination ``sum`` (or ``coarse``).

    For problems on patches. Steps of boxes that touch are coupled by the cells between them.
    """

    name = "patches"
    complementary = True

    class Config(PatchSettings):
        """Options of the boxes of patches."""

    def split(self, problem: Problem) -> list[Subdomain]:
        """Group the patches.

        Raises ``ValueError`` for a problem that has none, for a coarse network, for more boxes
        along an axis than patches, and for a box whose patches all lie outside the domain.
        """
        whole = problem.ability(PatchProblem)
        if whole is None:
            raise ValueError(
                "the decomposition 'patches' needs a problem on patches (problem = 'patches', or "
                f"ddopt_patches.compile), and not {problem.called}; choose 'boxes' or "
                "'layers'"
            )
        if whole.system.patches.grid.whole:
            raise ValueError(
                "a coarse network over the whole domain is in no box of patches; make the patches "
                "without coarse, or take the strategy 'patches'"
            )
        one = torch.arange(whole.system.patches.block)
        groups = self.groups(whole)
        for number, own in enumerate(groups):
            if not bool(whole.system.active[own].any()):
                raise ValueError(
                    f"subdomain {number} of {len(groups)} has {len(own)} patches and none of them "
                    "covers a point of the domain; give fewer subdomains, or splits along "
                    "another axis"
                )
        return [
            Subdomain(index, (own[:, None] * len(one) + one).flatten())
            for index, own in enumerate(groups)
        ]

    def groups(self, problem: PatchProblem) -> list[torch.Tensor]:
        """The patches of each subdomain, sorted."""
        grid = problem.system.patches.grid
        place = grid.patch_position(torch.arange(grid.patches))
        if self.config.coloured:
            return _colours(grid, place)
        splits = self.config.splits
        if splits is None:
            splits = along_longest([float(n) for n in grid.patch_shape], self.config.subdomains)
        if len(splits) != grid.dimensions or any(
            n > have for n, have in zip(splits, grid.patch_shape, strict=False)
        ):
            raise ValueError(
                f"splits = {splits} cannot cut {list(grid.patch_shape)} patches; give a number of "
                "boxes for each axis, no more than its patches"
            )
        boxes = torch.cartesian_prod(*(torch.arange(n) for n in splits)).view(-1, len(splits))
        return [self._box(grid, place, splits, number.tolist()) for number in boxes]

    def _box(
        self, grid: Grid, place: torch.Tensor, splits: list[int], number: list[int]
    ) -> torch.Tensor:
        """The patches of one box, and those within its overlap."""
        own = torch.ones(grid.patches, dtype=torch.bool)
        for axis, (n, have) in enumerate(zip(splits, grid.patch_shape, strict=True)):
            first = number[axis] * have // n - self.config.overlap
            last = (number[axis] + 1) * have // n + self.config.overlap
            along = place[:, axis]
            if axis in grid.periodic:
                own &= (along - first) % have < min(last - first, have)
            else:
                own &= (along >= first) & (along < last)
        return own.nonzero().flatten()


def _colours(grid: Grid, place: torch.Tensor) -> list[torch.Tensor]:
    """Patches by the parity of their places; a circle of odd length needs a third colour."""
    colour = torch.zeros(grid.patches, dtype=torch.long)
    for axis, have in enumerate(grid.patch_shape):
        along = place[:, axis] % 2
        if axis in grid.periodic and have % 2:
            along = torch.where(place[:, axis] == have - 1, 2, along)
        colour = colour * 3 + along
    return [(colour == c).nonzero().flatten() for c in colour.unique().tolist()]

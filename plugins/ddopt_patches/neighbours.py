"""What a region must know of its neighbours' rows: their part of JᵀJ between shared patches.

A tile at the border of a region needs the whole of JᵀJ between its patches, also the part that
comes from cells on the other side. Both sides know the cells and the patches that they touch, so
only the numbers travel, once for each Jacobian.

Legend: C corners of a cell, c of them shared; B unknowns of a patch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ddopt_patches.block import Block, Gram

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid
    from ddopt_patches.regions import Border, Region


@dataclass(frozen=True)
class Side:
    """Cells of a region that touch equally many patches which another region sees, too."""

    cells: torch.Tensor  # (g,)
    corners: torch.Tensor  # (g, c)
    patches: torch.Tensor  # (g, c), by their numbers in the grid


def sides(grid: Grid, region: Region, other: int) -> list[Side]:
    """The cells of ``region`` along its border with another, by the number of shared corners."""
    cells = region.cells.nonzero().flatten()
    touched = grid.touching(cells)
    both = torch.zeros(grid.patches, dtype=torch.bool)
    both[region.patches[region.meeting[other]]] = True
    shared = both[touched]
    found = []
    for c in range(1, touched.shape[1] + 1):
        these = (shared.sum(1) == c).nonzero().flatten()
        if len(these):
            corners = shared[these].nonzero()[:, 1].view(-1, c)
            found.append(Side(cells[these], corners, touched[these].gather(1, corners)))
    return found


def grams(
    grid: Grid, border: Border, blocks: dict[int, list[Block]], cells: dict[int, list[torch.Tensor]]
) -> dict[int, list[Gram]]:
    """For each region of this process JᵀJ of its neighbours' rows between shared patches.

    Patches by their places in the region.
    """
    B = next(iter(blocks.values()))[0].by_corner.shape[-1]
    sent = {}
    for d in border.owned:
        for e in d.meeting:
            parts = [_products(side, blocks[d.index], cells[d.index]) for side in sides(grid, d, e)]
            sent[d.index, e] = (torch.cat([part.flatten() for part in parts]),)
    received = border.exchanged(sent)
    found: dict[int, list[Gram]] = {}
    for d in border.owned:
        found[d.index] = []
        for e in sorted(d.meeting):
            (numbers,), start = received[e, d.index], 0
            for side in sides(grid, border.regions[e], d.index):
                g, c = side.corners.shape
                size = g * (c * B) ** 2
                part = numbers[start : start + size].view(g, c, c, B, B)
                found[d.index].append(Gram(d.local(side.patches), part))
                start += size
    return found


def _products(side: Side, blocks: list[Block], cells: list[torch.Tensor]) -> torch.Tensor:
    """Σ over groups of rows of JᵀJ between the corners of a side, (g, c, c, B, B)."""
    g, c = side.corners.shape
    B = blocks[0].by_corner.shape[-1]
    total = blocks[0].by_corner.new_zeros(g, c, c, B, B)
    for block, where in zip(blocks, cells, strict=True):
        place = torch.full((int(max(where.max(), side.cells.max())) + 1,), -1)
        place[where] = torch.arange(len(where))
        here = (place[side.cells] >= 0).nonzero().flatten()
        if len(here) == 0:
            continue
        rows = place[side.cells[here]]
        J = block.by_corner[rows[:, None], side.corners[here]]  # (g', c, rows, B)
        flat = J.transpose(1, 2).flatten(2)
        total[here] += (flat.mT @ flat).view(len(here), c, B, c, B).transpose(2, 3)
    return total

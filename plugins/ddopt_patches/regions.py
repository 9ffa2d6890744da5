"""Regions: the cells of a grid in boxes, one for a process or several, and where they meet.

A region evaluates the rows of its own cells. It sees the patches that touch them, so the patches
along a border between regions are seen by both, and a sum over all rows is a sum over regions and,
for those patches, an exchange between neighbours. Nothing else has to travel.

Legend: R regions, W processes; region d belongs to process d mod W; s_d patches that region d sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt.executor import Executor
    from ddopt_patches.grid import Grid

CARRIER = torch.bfloat16  # of two bytes; carries others as they are
Box = tuple[tuple[int, int], ...]  # first cell and one past the last along each axis


@dataclass(frozen=True)
class Region:
    """The cells of one region and the patches that it sees."""

    index: int
    cells: torch.Tensor  # (cells of the grid,), bool
    patches: torch.Tensor  # (s_d,), sorted
    counted: torch.Tensor  # (s_d,), bool: those that no region with a smaller index sees
    meeting: dict[int, torch.Tensor]  # by another region's index: places of what both see, sorted

    @property
    def shared(self) -> torch.Tensor:
        """The places of the patches that another region sees, too, sorted."""
        if not self.meeting:
            return torch.zeros(0, dtype=torch.long)
        return torch.unique(torch.cat(list(self.meeting.values())))

    def local(self, patches: torch.Tensor) -> torch.Tensor:
        """The places in this region of patches that it sees, by their numbers in the grid."""
        return torch.searchsorted(self.patches, patches)


def regions(grid: Grid, work: torch.Tensor, count: int) -> list[Region]:
    """``count`` boxes with about the same ``work`` (cells,); cells without work belong to none.

    Boxes are halved across their longest axis (recursive coordinate bisection; Berger and Bokhari,
    IEEE Transactions on Computers C-36, 1987).

    Raises ``ValueError`` for more regions than there are cells to cut.
    """
    start: Box = tuple((0, n) for n in grid.cell_shape)
    boxes = _bisected(work.view(grid.cell_shape).double(), start, count)
    place = grid.cell_position(torch.arange(grid.cells))
    seen, cells = [], []
    for box in boxes:
        inside = work > 0
        for axis, (first, last) in enumerate(box):
            inside = inside & (place[:, axis] >= first) & (place[:, axis] < last)
        cells.append(inside)
        touched = torch.zeros(grid.patches, dtype=torch.bool)
        touched[grid.touching(inside.nonzero().flatten()).flatten()] = True
        seen.append(touched)
    return [_region(d, cells, seen) for d in range(count)]


def _region(d: int, cells: list[torch.Tensor], seen: list[torch.Tensor]) -> Region:
    before = torch.zeros_like(seen[d])
    for other in seen[:d]:
        before |= other
    patches = seen[d].nonzero().flatten()
    meeting = {}
    for e, other in enumerate(seen):
        places = other[patches].nonzero().flatten()
        if e != d and len(places):
            meeting[e] = places
    return Region(d, cells[d], patches, ~before[patches], meeting)


def _bisected(work: torch.Tensor, box: Box, count: int) -> list[Box]:
    if count == 1:
        return [box]
    axis = max(range(len(box)), key=lambda a: box[a][1] - box[a][0])
    first, last = box[axis]
    if last - first < 2:
        raise ValueError(
            f"a box of {[b - a for a, b in box]} cells cannot be cut into {count} regions; ask for "
            "fewer regions, or give more cells"
        )
    own = work[tuple(slice(a, b) for a, b in box)]
    along = own.sum([a for a in range(len(box)) if a != axis]) if len(box) > 1 else own
    upto = along.cumsum(0)
    left = count // 2
    wanted = float(upto[-1]) * left / count
    cut = int((upto[:-1] - wanted).abs().argmin()) + 1 + first
    halves = [(first, cut), (cut, last)]
    pieces = [(*box[:axis], half, *box[axis + 1 :]) for half in halves]
    return _bisected(work, pieces[0], left) + _bisected(work, pieces[1], count - left)


class Border:
    """Exchanges over the borders of regions, and sums over all regions.

    All processes call each method, in the same sequence. Every sum is taken in the sequence of the
    regions, so that its bits do not depend on the number of processes.
    """

    def __init__(self, regions: list[Region], executor: Executor) -> None:
        self.regions, self.executor = regions, executor
        self.owned = [regions[d] for d in executor.owned(len(regions))]

    def exchanged(
        self, sent: Mapping[tuple[int, int], tuple[torch.Tensor, ...]]
    ) -> dict[tuple[int, int], tuple[torch.Tensor, ...]]:
        """What neighbours have sent, by (source, target), from some tensors for each such pair."""
        pairs = [(d.index, e) for d in self.owned for e in sorted(d.meeting)]
        for d, e in pairs:
            self.executor.send(sent[d, e], d, e)
        found = {}
        for e, d in [(e, d) for d, e in pairs]:
            found[e, d] = self.executor.receive(e, d, sent[d, e][0].device)
        self.executor.settle()
        return found

    def added(
        self, values: dict[int, torch.Tensor], travelling: Sequence[torch.dtype] = ()
    ) -> dict[int, torch.Tensor]:
        """Σ over the regions that see a patch of what they say of it, from (s_d, ..) for each.

        ``travelling`` are the types of the numbers that cross a border, see ``rounded``; without
        one they travel as they are. Both sides add the same numbers, so the results agree.
        """
        sent = {
            (d.index, e): (packed(rounded(values[d.index][places], travelling)),)
            for d in self.owned
            for e, places in d.meeting.items()
        }
        received = self.exchanged(sent)
        found = {}
        for d in self.owned:
            own = values[d.index]
            total = own.clone()
            shared = d.shared
            total[shared] = 0.0
            for e in sorted([*d.meeting, d.index]):
                if e == d.index:
                    total[shared] += put_together(rounded(own[shared], travelling), own.dtype)
                else:
                    places = d.meeting[e]
                    parts = unpacked(received[e, d.index][0], own[places], travelling)
                    total[places] += put_together(parts, own.dtype)
            found[d.index] = total
        return found

    def agreed(self, values: dict[int, torch.Tensor]) -> dict[int, torch.Tensor]:
        """Of each patch what the region says that counts it, (s_d, ..), to all that see it."""
        own = {
            d.index: values[d.index] * d.counted.view(-1, *[1] * (values[d.index].dim() - 1))
            for d in self.owned
        }
        return self.added(own)

    def total(self, values: dict[int, list[float]]) -> list[float]:
        """The sums over all regions of numbers that each of them gives, equally many."""
        rows = self.executor.numbers(values, len(self.regions))
        return [sum(column) for column in zip(*rows, strict=True)]

    def dot(self, a: dict[int, torch.Tensor], b: dict[int, torch.Tensor]) -> dict[int, float]:
        """Each region's contribution to <a, b>: over the patches that it counts."""
        return {
            d.index: float((a[d.index][d.counted] * b[d.index][d.counted]).sum())
            for d in self.owned
        }

    def whole(
        self, values: dict[int, torch.Tensor], patches: int, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """The vectors of all regions as one, (patches, ..), on every process.

        Each patch as the region says that counts it; in numbers that travel as ``dtype``.
        """
        like = next(iter(values.values()))
        width, kind = like[0].numel(), dtype or like.dtype
        own = {d.index: values[d.index][d.counted].flatten().to(kind) for d in self.owned}
        sizes = [int(d.counted.sum()) * width for d in self.regions]
        parts = self.executor.each(own, sizes, like.flatten().to(kind))
        found = like.new_zeros(patches, *like.shape[1:])
        for d, part in zip(self.regions, parts, strict=True):
            found[d.patches[d.counted]] = part.view(-1, *like.shape[1:]).to(like.dtype)
        return found


def rounded(values: torch.Tensor, kinds: Sequence[torch.dtype]) -> tuple[torch.Tensor, ...]:
    """``values`` as a sum of tensors of the ``kinds``, each of what those before it leave.

    float32 and bfloat16 together keep 33 binary digits in six bytes.
    """
    if not kinds:
        return (values,)
    parts, left = [], values
    for kind in kinds:
        parts.append(left.to(kind))
        left = left - parts[-1].to(values.dtype)
    return tuple(parts)


def packed(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor of several: a message costs a process far more than its bytes do."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.flatten().view(CARRIER) for part in parts])


def unpacked(
    message: torch.Tensor, like: torch.Tensor, kinds: Sequence[torch.dtype]
) -> tuple[torch.Tensor, ...]:
    """The parts of ``packed``, of the types ``kinds`` and the shape of ``like``."""
    if len(kinds) < 2:
        return (message,)
    parts = message.split([like.numel() * kind.itemsize // CARRIER.itemsize for kind in kinds])
    pairs = zip(parts, kinds, strict=True)
    return tuple(part.clone().view(kind).view(like.shape) for part, kind in pairs)


def put_together(parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """The sum of ``parts`` in ``dtype``."""
    total = parts[0].to(dtype)
    for part in parts[1:]:
        total = total + part.to(dtype)
    return total

"""A tensor grid of nodes, its cells and its patches.

Node (i, j, ..) owns the patch of the up to 2^d cells around it; a cell is touched by 2^d patches,
one for each corner. On a periodic axis the last node is the first one again. Cells and patches are
numbered row by row, the last axis fastest.

Legend: d axes, C = 2^d corners of a cell, S patches; a *corner* e in {0, 1}^d counts from the lower
ends, the last axis fastest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
from numbers import Integral
from typing import Any

import torch

from ddopt_patches.windows import jets, smoothness
from ddopt_pinn.derivatives import upto

ROUND_OFF = 1e-9  # of an axis: points this far outside are on the boundary


class Grid:
    """Nodes along each axis, and how points, cells and patches belong together.

    Args:
        nodes: for each axis the increasing coordinates of its nodes, two or more.
        periodic: axes whose ends are one place; one of them may be given as a number.
        window: name of the partition of unity, see ``windows``.

    Raises ``ValueError`` for nodes that do not increase, for a periodic axis of one cell, and for
    one that does not exist.
    """

    def __init__(
        self, nodes: Sequence[torch.Tensor], periodic: Sequence[int] | int = (), window: str = "c3"
    ) -> None:
        self.nodes = tuple(torch.as_tensor(v, dtype=torch.float64).flatten() for v in nodes)
        self.periodic, self.window = _axes(periodic, len(self.nodes)), window
        smoothness(window)
        for axis, v in enumerate(self.nodes):
            least = 3 if axis in self.periodic else 2
            if len(v) < least or not bool((v.diff() > 0).all()):
                raise ValueError(
                    f"axis {axis}: nodes must increase, and be {least} or more; they are "
                    f"{[round(x, 6) for x in v.tolist()[:6]]}{' ..' if len(v) > 6 else ''}"
                )
        self.cell_shape = tuple(len(v) - 1 for v in self.nodes)
        self.patch_shape = tuple(
            len(v) - (axis in self.periodic) for axis, v in enumerate(self.nodes)
        )
        self.offsets = torch.tensor(list(product((0, 1), repeat=len(self.nodes))))
        self._middles, self._halves = zip(
            *(_middles(v, axis in self.periodic) for axis, v in enumerate(self.nodes)), strict=True
        )

    @classmethod
    def uniform(
        cls,
        bounds: Sequence[Sequence[float]],
        cells: Sequence[int],
        periodic: Sequence[int] | int = (),
        window: str = "c3",
    ) -> Grid:
        """Cells of equal width in the box ``bounds``, (lower, upper) for each axis."""
        nodes = [
            torch.linspace(float(a), float(b), n + 1, dtype=torch.float64)
            for (a, b), n in zip(bounds, cells, strict=True)
        ]
        return cls(nodes, periodic, window)

    @property
    def dimensions(self) -> int:
        """d."""
        return len(self.nodes)

    @property
    def corners(self) -> int:
        """C = 2^d, the number of patches that touch a cell."""
        return 1 << self.dimensions

    @property
    def cells(self) -> int:
        """The number of cells."""
        return math.prod(self.cell_shape)

    whole = False  # whether the last patch covers everything, see ``GridAndWhole``

    @property
    def local(self) -> int:
        """The number of patches around nodes."""
        return math.prod(self.patch_shape)

    @property
    def patches(self) -> int:
        """S, the number of all patches."""
        return self.local

    @property
    def bounds(self) -> torch.Tensor:
        """The box that the patches cover, shape (d, 2)."""
        return torch.stack([torch.stack([v[0], v[-1]]) for v in self.nodes])

    def cell_position(self, cells: torch.Tensor) -> torch.Tensor:
        """The place of cells along each axis, shape (cells, d)."""
        return _unravel(cells, self.cell_shape)

    def patch_position(self, patches: torch.Tensor) -> torch.Tensor:
        """The place of patches along each axis, shape (patches, d)."""
        return _unravel(patches, self.patch_shape)

    def touching(self, cells: torch.Tensor) -> torch.Tensor:
        """The patches that touch each cell, corner by corner, shape (cells, C)."""
        place = self.cell_position(cells)[:, None] + self.offsets  # (cells, C, d)
        number = torch.zeros_like(place[..., 0])
        for axis, n in enumerate(self.patch_shape):
            number = number * n + place[..., axis] % n
        return number

    def lower(self, cells: torch.Tensor) -> torch.Tensor:
        """The lower corners of cells, shape (cells, d)."""
        place = self.cell_position(cells)
        return torch.stack([v[place[:, a]] for a, v in enumerate(self.nodes)], 1)

    def widths(self, cells: torch.Tensor) -> torch.Tensor:
        """The extents of cells, shape (cells, d)."""
        place = self.cell_position(cells)
        return torch.stack([v.diff()[place[:, a]] for a, v in enumerate(self.nodes)], 1)

    def frames(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Middle and half width of each touching patch, shapes (cells, C, d).

        On a periodic axis a patch that reaches across the end has its middle beyond it.
        """
        place = self.cell_position(cells)[:, None] + self.offsets
        middles = [v[place[..., a]] for a, v in enumerate(self._middles)]
        halves = [v[place[..., a]] for a, v in enumerate(self._halves)]
        return torch.stack(middles, -1), torch.stack(halves, -1)

    def boxes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Middle and half width of every patch, shapes (S, d)."""
        place = self.patch_position(torch.arange(self.local))
        middles = [v[place[:, a]] for a, v in enumerate(self._middles)]
        halves = [v[place[:, a]] for a, v in enumerate(self._halves)]
        return torch.stack(middles, 1), torch.stack(halves, 1)

    def windows(self, cells: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The C windows at points ``x`` (points, d) of cells, shape (points, C); with a graph."""
        s = (x - self.lower(cells).to(x)) / self.widths(cells).to(x)
        window = x.new_ones(len(x), 1)
        for axis in range(self.dimensions):
            up = jets(self.window, s[:, axis], 0)[0]
            sides = torch.stack([1.0 - up, up], 1)  # (points, 2)
            window = window * sides[:, self.offsets[:, axis].to(x.device)]
        return window

    def locate(self, x: torch.Tensor) -> torch.Tensor:
        """The cell of each point of ``x`` (points, d).

        Raises ``ValueError`` for points that no patch covers.
        """
        number = torch.zeros(len(x), dtype=torch.long)
        for axis, v in enumerate(self.nodes):
            along = x[:, axis].detach().to("cpu", torch.float64).contiguous()
            slack = ROUND_OFF * float(v[-1] - v[0])
            outside = (along < v[0] - slack) | (along > v[-1] + slack)
            if bool(outside.any()):
                first = x[outside.nonzero()[0, 0]].tolist()
                raise ValueError(
                    f"no patch covers {int(outside.sum())} of {len(x)} points (the first: "
                    f"{first}); extend the nodes of axis {axis}, which reach from {v[0]:g} to "
                    f"{v[-1]:g}"
                )
            place = (torch.searchsorted(v, along, right=True) - 1).clamp(0, len(v) - 2)
            number = number * (len(v) - 1) + place
        return number

    def window_jets(self, cells: torch.Tensor, x: torch.Tensor, order: int) -> torch.Tensor:
        """∂^α of the C windows at points ``x`` (cells, P, d) of cells, shape (cells, C, P, Q).

        The multi-indices α are those of ``upto(d, order)``.
        """
        lower, width = self.lower(cells), self.widths(cells)
        sides = []  # for each axis: lower patch, upper patch; for each: derivatives 0..order
        for a in range(self.dimensions):
            h = width[:, a, None]
            w = jets(self.window, ((x[..., a] - lower[:, a, None]) / h).clamp(0.0, 1.0), order)
            up = [one / h**k for k, one in enumerate(w)]
            sides.append(([1.0 - up[0], *(-one for one in up[1:])], up))
        found = []
        for alpha in upto(self.dimensions, order):
            corners = []
            for e in self.offsets.tolist():
                v = sides[0][e[0]][alpha[0]]
                for a in range(1, self.dimensions):
                    v = v * sides[a][e[a]][alpha[a]]
                corners.append(v)
            found.append(torch.stack(corners, 1))
        return torch.stack(found, -1)


def _axes(periodic: Any, d: int) -> frozenset[int]:
    """The axes that ``periodic`` names, of d."""
    named = list(periodic) if isinstance(periodic, Iterable) else [periodic]
    for axis in named:
        # True is the number 1 to Python, and whoever writes it means another thing
        if not isinstance(axis, Integral) or isinstance(axis, bool) or not 0 <= int(axis) < d:
            have = f"axes 0 to {d - 1}, time last" if d > 1 else "axis 0 alone"
            raise ValueError(
                f"periodic names axis {axis!r}, and the domain has {have}; give the numbers of the "
                "axes whose ends are one place, for example periodic=(0,)"
            )
    return frozenset(int(axis) for axis in named)


def _middles(v: torch.Tensor, periodic: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Middle and half width of the patch of each node of an axis, shapes (nodes,)."""
    left, right = torch.cat([v[:1], v[:-1]]), torch.cat([v[1:], v[-1:]])
    if periodic:
        left[0], right[-1] = v[0] - (v[-1] - v[-2]), v[-1] + (v[1] - v[0])
    return (left + right) / 2, (right - left) / 2


def _unravel(numbers: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Row-major numbers as places along each axis, shape (numbers, axes)."""
    places = []
    for n in reversed(shape):
        places.append(numbers % n)
        numbers = numbers // n
    return torch.stack(places[::-1], -1)

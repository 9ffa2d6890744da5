"""From what a user states (domain, equation, conditions) to a system of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt_patches import quadrature
from ddopt_patches.boundary import Boundary, boundary
from ddopt_patches.conditions import remembered, rows_of
from ddopt_patches.curves import around, curves
from ddopt_patches.cut import enough, points_inside
from ddopt_patches.dense_rows import instead
from ddopt_patches.equation import ElsewhereError, Equation, Function, Transform
from ddopt_patches.fit import fit
from ddopt_patches.moving_rows import rows_at
from ddopt_patches.network import FBPINN, Patches
from ddopt_patches.quadrature import Points
from ddopt_patches.rows import Rows
from ddopt_patches.system import FEWEST, System
from ddopt_patches.weights import FACTOR, balanced
from ddopt_pinn.library import dde, numbers

if TYPE_CHECKING:
    from ddopt_patches.grid import Grid


@dataclass(frozen=True)
class Statement:
    """A differential equation and its conditions, in DeepXDE's words.

    Args:
        geometry: a ``dde.geometry`` object, with time if there is time.
        equation: (x, u) -> residuals, as ``dde.data.PDE`` takes it.
        conditions: ``dde.icbc`` objects.
        transform: (x, N) -> u, where conditions are built into u.
        net: the network with the patches that ``system`` is given, if there is one: what needs u at
            other points than its own is asked for by it (``DenseRows``).
    """

    geometry: Any
    equation: Function
    conditions: Sequence[Any]
    transform: Transform = None
    net: FBPINN | None = None

    @property
    def bounds(self) -> np.ndarray:
        """The smallest box around the domain, shape (d, 2); time comes last."""
        return box(self.geometry)

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        """Which points (.., d) lie in the domain, shape (..)."""
        space = getattr(self.geometry, "geometry", self.geometry)
        flat = x.reshape(-1, x.shape[-1])[:, : space.dim].numpy()
        mask = np.asarray(space.inside(flat), dtype=bool).reshape(-1)
        return torch.from_numpy(mask).view(x.shape[:-1])

    def equation_at(self, patches: Patches) -> Equation:
        """The equation, examined at points of the cells.

        Raises ``ValueError`` for one that does not depend on u.
        """
        grid, probe = patches.grid, quadrature.interior(patches.grid, 4).x
        inside = probe[self.inside(probe)]
        found = Equation(self.equation, grid.dimensions, patches.outputs, inside, self.transform)
        if not found.depends:
            # conditions alone would be fitted then, by values without bounds between them
            raise ValueError(
                "the equation does not depend on u; return its residual, computed from the second "
                "argument, as in lambda x, u: dde.grad.jacobian(u, x, i=0, j=0) - 1"
            )
        return found

    def system(
        self,
        patches: Patches,
        rows: float = FEWEST,
        weight: float | None = None,
        observed: float = FACTOR,
    ) -> System:
        """The rows: Gauss points in the cells, ``rows`` an unknown, and on the boundary.

        ``weight`` is the factor of the residuals of conditions; None: it is chosen, see
        ``weights``, where ``observed`` is explained, too. Raises ``ValueError`` for patches that do
        not cover the domain.
        """
        grid = patches.grid
        self._covered(grid)
        cut = not self._fills(grid)
        inside, count = self._inside(patches, rows, cut)
        edge = self._edge(grid, count) if cut and self.conditions else None
        given = 1.0 if weight is None else weight
        found: list[Rows] = []
        for condition in self.conditions:
            found += rows_of(patches, condition, count, given, self, edge)
        if weight is None:
            found = balanced(inside, found, self.start(patches), observed, grid.local)
        return System(patches, [*inside, *found])

    def _inside(self, patches: Patches, rows: float, cut: bool) -> tuple[list[Rows], int]:
        """The rows of the equation; how many points there are along an axis of a cell."""
        try:
            equation = self.equation_at(patches)
        except ElsewhereError as error:
            some = quadrature.interior(patches.grid, 2)
            whole = instead(error, self.net, patches, some, self.equation)
            points, count = self._points(patches, whole.equation.equations, rows, cut)
            return [whole.at(one) for one in points], count
        points, count = self._points(patches, equation.equations, rows, cut)
        return [rows_at(patches, one, equation) for one in points], count

    @property
    def _space(self) -> Any:
        return getattr(self.geometry, "geometry", self.geometry)

    def _covered(self, grid: Grid) -> None:
        wanted, given = self.bounds, grid.bounds.numpy()
        slack = 1e-9 * (wanted[:, 1] - wanted[:, 0])
        short = (given[:, 0] > wanted[:, 0] + slack) | (given[:, 1] < wanted[:, 1] - slack)
        if bool(short.any()):
            axis = int(short.argmax())
            raise ValueError(
                f"the patches do not cover the domain: the nodes of axis {axis} reach from "
                f"{given[axis, 0]:g} to {given[axis, 1]:g}, the domain from {wanted[axis, 0]:g} to "
                f"{wanted[axis, 1]:g}; extend the nodes"
            )

    def _fills(self, grid: Grid) -> bool:
        """Whether the domain is the box of the grid."""
        kinds = (dde.geometry.Interval, dde.geometry.Hypercube)
        same = np.allclose(self.bounds, grid.bounds.numpy(), rtol=0.0, atol=1e-9)
        return isinstance(self._space, kinds) and bool(same)

    def _points(
        self, patches: Patches, equations: int, rows: float, cut: bool
    ) -> tuple[list[Points], int]:
        """Points with ``rows`` an unknown of the patches that they touch; how many an axis."""
        grid, d = patches.grid, patches.grid.dimensions
        count = quadrature.points_an_axis(patches, equations, rows)
        if not cut:
            return [quadrature.interior(grid, count)], count
        while True:
            found = points_inside(grid, count, self.inside, self._space.dim)
            touched = grid.touching(torch.cat([one.cells for one in found])).unique()
            unknowns, have = len(touched) * patches.block, sum(one.count for one in found)
            factor = enough(unknowns, have, equations, rows, d)
            if factor <= 1.0:
                return found, count
            count = max(count + 1, int(count * factor))

    def _edge(self, grid: Grid, count: int) -> Boundary:
        return boundary(grid, curves(self._space), self.inside, count)

    def start(self, patches: Patches) -> torch.Tensor:
        """Unknowns to begin with: the initial condition at all times; zero without one."""
        initial = [c for c in self.conditions if isinstance(c, dde.icbc.IC)]
        if not initial or self.transform is not None:
            found = fit(patches, lambda x: x.new_zeros(len(x), patches.outputs))
        else:
            values = _at_the_beginning(initial, patches.outputs, self.bounds[-1, 0])
            found = fit(patches, values)
        return patches.joined(found)


def box(geometry: Any) -> np.ndarray:
    """The smallest box around a domain, shape (d, 2); time comes last."""
    space = getattr(geometry, "geometry", geometry)
    ends = around(space)
    if space is geometry:
        return ends
    time = geometry.timedomain
    return np.vstack([ends, [time.t0, time.t1]])


def _at_the_beginning(
    initial: Sequence[Any], outputs: int, time: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The initial values as a function of all coordinates, constant in the last one."""

    def values(x: torch.Tensor) -> torch.Tensor:
        points = x.numpy().copy()
        points[:, -1] = time
        found = x.new_zeros(len(x), outputs)
        with numbers(x.dtype, x.device):
            for condition in initial:
                value = condition.func(remembered(condition, points), 0, len(points), None)
                found[:, condition.component] = value.reshape(len(points))
        return found

    return values

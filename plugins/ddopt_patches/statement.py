"""From what a user states (domain, equation, conditions) to a system of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ddopt_patches import quadrature
from ddopt_patches.conditions import remembered, rows_of
from ddopt_patches.equation import Equation, Function, Transform
from ddopt_patches.fit import fit
from ddopt_patches.network import Patches
from ddopt_patches.rows import Rows
from ddopt_patches.system import FEWEST, System
from ddopt_patches.weights import balanced
from ddopt_pinn.library import dde, numbers


@dataclass(frozen=True)
class Statement:
    """A differential equation and its conditions, in DeepXDE's words.

    Args:
        geometry: a ``dde.geometry`` object, with time if there is time.
        equation: (x, u) -> residuals, as ``dde.data.PDE`` takes it.
        conditions: ``dde.icbc`` objects.
        transform: (x, N) -> u, where conditions are built into u.
    """

    geometry: Any
    equation: Function
    conditions: Sequence[Any]
    transform: Transform = None

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
        """The equation, examined at points of the cells."""
        grid, probe = patches.grid, quadrature.interior(patches.grid, 2).x
        inside = probe[self.inside(probe)]
        return Equation(self.equation, grid.dimensions, patches.outputs, inside, self.transform)

    def system(self, patches: Patches, rows: float = FEWEST, weight: float | None = None) -> System:
        """The rows: Gauss points in the cells, ``rows`` an unknown, and on the faces.

        ``weight`` is the factor of the residuals of conditions; None: it is chosen, see
        ``weights``.
        """
        grid, equation = patches.grid, self.equation_at(patches)
        count = quadrature.points_an_axis(
            patches.unknowns, grid.cells, equation.equations, rows, grid.dimensions
        )
        points = quadrature.interior(grid, count)
        points = points.where(self.inside(points.x))
        inside, found = Rows(patches, points, equation), []
        for condition in self.conditions:
            found += rows_of(patches, condition, count, weight or 1.0, self.transform)
        if weight is None:
            found = balanced(inside, found, self.start(patches))
        return System(patches, [inside, *found])

    def start(self, patches: Patches) -> torch.Tensor:
        """Output weights to begin with: the initial condition at all times; zero without one."""
        initial = [c for c in self.conditions if isinstance(c, dde.icbc.IC)]
        if not initial or self.transform is not None:
            return fit(patches, lambda x: x.new_zeros(len(x), patches.outputs))
        return fit(patches, _at_the_beginning(initial, patches.outputs, self.bounds[-1, 0]))


def box(geometry: Any) -> np.ndarray:
    """The smallest box around a domain, shape (d, 2); time comes last."""
    space = getattr(geometry, "geometry", geometry)
    ends = np.asarray(space.bbox, dtype=float).reshape(2, -1).T
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

"""Boundary and initial conditions of DeepXDE as rows: which points they hold at, and their
residual.

A condition is a ``dde.icbc`` object. On a box it is asked for at Gauss points of those faces that
it says it holds on (``on_boundary``, ``on_initial``), weighted by their area; a ``PointSetBC`` at
its own points. Its error is DeepXDE's own, so Dirichlet, Neumann, Robin and operator conditions
need no code.
"""

from __future__ import annotations

from copy import copy
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ddopt_patches.dense_rows import instead
from ddopt_patches.equation import ElsewhereError, Equation
from ddopt_patches.moving_rows import rows_at
from ddopt_patches.observations import Observed
from ddopt_patches.quadrature import Points, face, scattered
from ddopt_patches.rows import Rows
from ddopt_pinn.library import dde

if TYPE_CHECKING:
    from ddopt_patches.boundary import Boundary
    from ddopt_patches.equation import Transform
    from ddopt_patches.network import FBPINN, Patches


class Residual:
    """(x, u) -> the error of a condition."""

    def __init__(self, condition: Any) -> None:
        self._condition = condition

    def __call__(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """DeepXDE's error at the points, shape (points, 1)."""
        array = remembered(self._condition, x.detach().cpu().numpy())
        found: torch.Tensor = self._condition.error(array, x, u, 0, len(x))
        return found


def remembered(condition: Any, points: np.ndarray) -> np.ndarray:
    """One array for equal points, which lives as long as the condition and its copies.

    Conditions remember values by the identity of the array of points: another array in the place of
    one that is gone would be given the values of that one.
    """
    arrays: dict[bytes, np.ndarray] = vars(condition).setdefault("_ddopt_points", {})
    return arrays.setdefault(points.tobytes(), points)


def periodic_axes(conditions: list[Any]) -> list[int]:
    """The axes that periodic conditions close; a grid that knows them fulfils the conditions."""
    found = {int(c.component_x) for c in conditions if isinstance(c, dde.icbc.PeriodicBC)}
    return sorted(found)


def holds(condition: Any, x: np.ndarray) -> np.ndarray:
    """At which of the points ``x`` (points, d) a condition holds, shape (points,)."""
    geometry = condition.geom
    if isinstance(condition, dde.icbc.IC):
        mask = condition.on_initial(x, geometry.on_initial(x))
    else:
        mask = condition.on_boundary(x, geometry.on_boundary(x))
    return np.asarray(mask, dtype=bool).reshape(len(x))


def on_faces(patches: Patches, condition: Any, count: int) -> list[Points]:
    """Gauss points of the faces of the box at which a condition holds, face by face."""
    grid, found = patches.grid, []
    for axis in range(grid.dimensions):
        for upper in (False, True):
            if axis in grid.periodic:
                continue
            points = face(grid, axis, upper, count)
            flat = points.x.flatten(0, 1).numpy()
            mask = torch.from_numpy(holds(condition, flat)).view(points.roots.shape)
            if isinstance(condition, dde.icbc.IC):  # a face of the box, but not all of the domain
                space = getattr(condition.geom, "geometry", condition.geom)
                mask &= torch.from_numpy(
                    np.asarray(space.inside(flat[:, : space.dim]), dtype=bool)
                ).view(mask.shape)
            if bool(mask.any()):
                found.append(points.where(mask))
    return found


def on_edge(patches: Patches, condition: Any, edge: Boundary) -> list[Points]:
    """Points of the boundary at which a condition holds."""
    x = edge.x.numpy()
    mask = np.asarray(condition.on_boundary(x, np.ones(len(x), dtype=bool)), dtype=bool)
    mask = mask.reshape(len(x))
    return [edge.where(patches.grid, mask)] if bool(mask.any()) else []


def with_normals(condition: Any, edge: Boundary) -> Any:
    """The condition, with the normals of the boundary instead of those of DeepXDE.

    DeepXDE has none for some domains, and adds those of two parts where they touch.
    """

    def normal(X: np.ndarray, first: int, last: int, _: Any) -> torch.Tensor:
        return torch.from_numpy(edge.normals(X[first:last]))

    other = copy(condition)
    other.boundary_normal = normal
    return other


class Stated(Protocol):
    """What a condition must know of the statement that it belongs to."""

    @property
    def transform(self) -> Transform:
        """(x, N) -> u, where conditions are built into u."""

    @property
    def net(self) -> FBPINN | None:
        """Who is asked for u at other points than a residual's own."""


def _takes_points_alone(condition: Any) -> None:
    """Refuse a second argument, in which DeepXDE passes the auxiliary variables of the data."""
    function = getattr(getattr(condition, "func", None), "__wrapped__", None)
    if function is None:
        return
    names = list(signature(function).parameters)
    if len(names) > 1:
        raise ValueError(
            f"the function of a {type(condition).__name__} takes {len(names)} arguments "
            f"({', '.join(names)}), and DeepXDE reads the second one as auxiliary variables, which "
            "patches have none of, even where it has a default; give a function of the points "
            "alone"
        )


def rows_of(
    patches: Patches,
    condition: Any,
    count: int,
    weight: float,
    stated: Stated,
    edge: Boundary | None = None,
) -> list[Rows]:
    """The rows of one condition of ``stated``; none where the grid fulfils it by itself.

    ``edge`` is the boundary of a domain that is no box. Raises ``ValueError`` for a condition that
    holds nowhere on the boundary, for one that relates different points, and for one whose
    function wants auxiliary variables.
    """
    kind = type(condition).__name__
    _takes_points_alone(condition)
    if isinstance(condition, dde.icbc.PeriodicBC):
        return []
    if hasattr(condition, "points"):
        x = torch.as_tensor(np.asarray(condition.points), dtype=torch.float64)
        roots = torch.full((len(x),), len(x) ** -0.5, dtype=torch.float64)
        places = [scattered(patches.grid, x, roots)]
    elif edge is None or isinstance(condition, dde.icbc.IC):
        places = on_faces(patches, condition, count)
    else:
        places = on_edge(patches, condition, edge)
        condition = with_normals(condition, edge)
    if not places:
        raise ValueError(
            f"a {kind} holds at no point of the boundary; its on_boundary must accept points of "
            "it, up to rounding (np.isclose, not ==)"
        )
    residual = Observed(condition) if hasattr(condition, "points") else Residual(condition)
    found: list[Rows] = []
    d = patches.grid.dimensions
    for points in places:
        x = points.x[points.roots > 0]
        try:
            equation = Equation(residual, d, patches.outputs, x, stated.transform, f"a {kind}")
        except ElsewhereError as error:
            found.append(instead(error, stated.net, patches, points, residual, weight))
            continue
        found.append(rows_at(patches, points, equation, weight))
    return found

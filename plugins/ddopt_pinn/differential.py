"""Tasks whose answer solves a differential equation: what is asked, how well it went, its figures.

How a solution is represented is left open: ``PDETask`` takes a network at points.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from ddopt.task import Setting, Task
from ddopt_pinn.convergence import EVALUATIONS
from ddopt_pinn.library import building

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 20_000  # points at which the equation is asked for at once
RESOLUTION = {1: 1001, 2: 101, 3: 41}  # points along an axis of the grid that errors are taken on


class DifferentialTask(Task):
    """A differential equation, its conditions and its reference solution, in DeepXDE's words.

    A problem says where (``geometry``), what (``equation``, ``conditions``) and, if it is known,
    the answer (``solution``). Coefficients that are sought stand in ``unknowns`` with the value
    they start from, and reach ``equation`` by name.

    Whoever represents solutions derives from it and sets ``_geometry`` and ``_setting`` in
    ``prepare``; figures also ask ``problem.equations_at(theta, x)`` for the residuals (points,
    equations).
    """

    axes: ClassVar[tuple[str, ...]]  # names of the coordinates; "t" is time
    outputs: ClassVar[tuple[str, ...]] = ("u",)  # names of the components of the solution
    unknowns: ClassVar[dict[str, float]] = {}  # coefficients to be found: where they start
    resolution: ClassVar[tuple[int, ...]] = ()  # points of the grid along each axis
    truth: ClassVar[dict[str, float]] = {}  # their true values, where they are known

    counted: ClassVar[tuple[str, str]] = EVALUATIONS  # what convergence is drawn against

    problem: Any
    _geometry: Any  # what ``geometry`` gave
    _setting: Setting

    @abstractmethod
    def geometry(self) -> Any:
        """The domain: a ``dde.geometry`` object, with time if there is time."""

    @abstractmethod
    def equation(self, x: Any, u: Any, *args: Any, **kwargs: Any) -> Any:
        """The residuals of ``u`` (points, outputs) at ``x`` (points, dimensions): one, or a list.

        Unknown coefficients follow as further arguments, by their names.
        """

    @abstractmethod
    def conditions(self, geometry: Any) -> list[Any]:
        """Boundary and initial conditions: ``dde.icbc`` objects."""

    def solution(self, points: np.ndarray) -> np.ndarray | None:
        """The reference solution at points (points, dimensions), or None if there is none."""
        return None

    @abstractmethod
    def predict(self, theta: torch.Tensor, points: np.ndarray) -> np.ndarray:
        """The solution of ``theta`` at points (points, dimensions), shape (points, outputs)."""

    @property
    def title(self) -> str:
        """What stands over its figures: the first line of the class's docstring."""
        return (type(self).__doc__ or "").strip().partition("\n")[0].rstrip(".")

    def decorate(self, panel: Any, axes: tuple[str, ...]) -> None:
        """Draw something over the solution in a plane of two ``axes``; nothing, by default."""

    @property
    def _space(self) -> Any:
        """The domain without time."""
        return getattr(self._geometry, "geometry", self._geometry)

    @cached_property
    def bounds(self) -> np.ndarray:
        """The smallest box around the domain, shape (dimensions, 2); time comes last."""
        box = np.asarray(self._space.bbox, dtype=float).reshape(2, -1).T
        if self._space is self._geometry:
            return box
        time = self._geometry.timedomain
        return np.vstack([box, [time.t0, time.t1]])

    @cached_property
    def ticks(self) -> list[np.ndarray]:
        """The coordinates of the grid along each axis."""
        dimensions = len(self.bounds)
        counts = self.resolution or (RESOLUTION.get(dimensions, 11),) * dimensions
        return [np.linspace(a, b, n) for (a, b), n in zip(self.bounds, counts, strict=True)]

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Which points lie in the domain, boundary included, shape (points,)."""
        space = points[:, : self._space.dim]
        return np.asarray(self._space.inside(space), dtype=bool).reshape(len(points))

    @cached_property
    def grid(self) -> np.ndarray:
        """Equidistant points of the domain, boundary included, shape (points, dimensions)."""
        mesh = np.stack([one.ravel() for one in np.meshgrid(*self.ticks, indexing="ij")], 1)
        return mesh[self.inside(mesh)]

    @cached_property
    def reference(self) -> np.ndarray | None:
        """The reference solution on the grid, shape (points, outputs).

        Raises ``ValueError`` for another shape, with which differences would be broadcast.
        """
        found = self.solution(self.grid)
        wanted = (len(self.grid), len(self.outputs))
        if found is not None and np.shape(found) != wanted:
            raise ValueError(
                f"solution() of problem {self.name!r} returned shape {np.shape(found)} for "
                f"{wanted[0]} points, and must return {wanted}, a column for each of "
                f"{', '.join(self.outputs)}: write points[:, :1], not points[:, 0]"
            )
        return found

    def _random(self, count: int, seed: int) -> np.ndarray:
        """Uniformly random points of the domain, shape (count, dimensions)."""
        if count == 0:
            return np.empty((0, len(self.axes)))
        with building(seed, self._setting.dtype):
            found: np.ndarray = self._geometry.random_points(count, random="pseudo")
        return found

    def _residuals(self, theta: torch.Tensor, points: np.ndarray) -> np.ndarray:
        """The norms of the equations' residuals at points, shape (points,)."""
        x = torch.as_tensor(points, dtype=self._setting.dtype, device=self._setting.device)
        found = torch.cat([self.problem.equations_at(theta, some) for some in x.split(BATCH)])
        return torch.linalg.vector_norm(found, dim=1).double().cpu().numpy()

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """``error``: relative L2 on the grid, where there is a reference."""
        if self.reference is None:
            return {}
        return {"error": self._distance(theta) / float(np.linalg.norm(self.reference))}

    def _distance(self, theta: torch.Tensor) -> float:
        """The Euclidean norm of prediction minus reference on the grid."""
        assert self.reference is not None
        return float(np.linalg.norm(self.predict(theta, self.grid) - self.reference))

    def draw(self, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
        """Draw ``figure.png``: prediction, reference, error, residual, convergence."""
        from ddopt_pinn.figure import draw

        return draw(self, theta, metrics, folder)

    def animate(self, theta: torch.Tensor, frames: int, folder: Path) -> list[Path]:
        """Draw ``animation.gif``, where there is time."""
        from ddopt_pinn.animation import animate

        return animate(self, theta, frames, folder)

"""Time slabs: a decomposition in time, one slab after the other, each with its own patches.

The first slab begins with the problem's initial conditions. A later one begins with the last one's
end: the value of every component that the equation differentiates in time, and its first derivative
where the equation has the second. Its first output weights are local fits of that end, kept
constant in time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt_patches import quadrature
from ddopt_patches.conditions import on_faces
from ddopt_patches.fit import fit
from ddopt_patches.statement import Statement
from ddopt_pinn.library import dde

if TYPE_CHECKING:
    from ddopt_patches.network import FBPINN, Patches

PROBES = 64  # points at which the order in time is looked for
FEWEST = 2  # cells of a slab: one cell has about as many rows as unknowns


def cut(nodes: torch.Tensor, slabs: int) -> list[torch.Tensor]:
    """The nodes of every slab, whose cells are as equal in number as can be.

    Raises ``ValueError`` for slabs of fewer than two cells.
    """
    cells = len(nodes) - 1
    if cells < FEWEST * slabs:
        raise ValueError(
            f"{cells} cells in time are too few for {slabs} slabs, which need {FEWEST} each: give "
            f"the last axis {FEWEST * slabs} cells or more, or fewer slabs"
        )
    ends = [cells * k // slabs for k in range(slabs + 1)]
    return [nodes[a : b + 1] for a, b in pairwise(ends)]


class InTime:
    """u in slabs: at each point the network of its slab, in the first one that reaches so far.

    Beyond the last slab u stays what it is there.
    """

    def __init__(self, networks: Sequence[Callable[..., torch.Tensor]], ends: Sequence[float]):
        self._networks, self._ends = networks, torch.tensor(ends, dtype=torch.float64)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """u at ``x`` (points, d), shape (points, outputs)."""
        t, end = x[:, -1:], self._ends[-1].to(x)
        t = torch.where(t > end, end, t)  # at the end itself u has its slope; clamp has none there
        x = torch.cat([x[:, :-1], t], 1)
        owner = torch.searchsorted(self._ends, x[:, -1].detach().contiguous())
        found, places = [], []
        for number, network in enumerate(self._networks):
            own = (owner == number).nonzero().flatten()
            if len(own):
                found.append(network(x[own]))
                places.append(own)
        return torch.cat(found)[torch.argsort(torch.cat(places))]


class Slabs:
    """The slabs of a problem: which one it is the turn of, and what it is given.

    Args:
        geometry: a ``dde.geometry.GeometryXTime``.
        equation: (x, u) -> residuals.
        conditions: of the whole problem.
        nodes: of the time axis; None where there is no time.
        count: the number of slabs.
        transform: (x, N) -> u, where conditions are built into u.

    Raises ``ValueError`` for slabs of a problem without time, and for too many of them.
    """

    def __init__(
        self,
        geometry: Any,
        equation: Any,
        conditions: Sequence[Any],
        nodes: torch.Tensor,
        count: int = 1,
        transform: Any = None,
    ) -> None:
        self.finished: list[FBPINN] = []
        self._whole = Statement(geometry, equation, conditions, transform)
        timed = hasattr(geometry, "timedomain")
        if count > 1 and not timed:
            raise ValueError("slabs decompose time, and this problem has none; set slabs = 1")
        self.nodes = cut(nodes, count) if count > 1 else [nodes]

    @property
    def last(self) -> bool:
        """Whether it is the turn of the last slab."""
        return len(self.finished) + 1 == len(self.nodes)

    @property
    def current(self) -> torch.Tensor:
        """The nodes in time of the slab whose turn it is."""
        return self.nodes[len(self.finished)]

    def statement(self, patches: Patches) -> Statement:
        """The problem on the slab whose turn it is."""
        whole = self._whole
        if len(self.nodes) == 1:
            return whole
        start, end = float(self.current[0]), float(self.current[-1])
        space = whole.geometry.geometry
        slab = dde.geometry.GeometryXTime(space, dde.geometry.TimeDomain(start, end))
        conditions = [moved(one, slab) for one in whole.conditions]
        if self.finished:
            conditions = [one for one in conditions if holds_here(one, patches)]
            conditions += self._continuing(slab, patches, start)
        return Statement(slab, whole.equation, conditions, whole.transform)

    def _continuing(self, slab: Any, patches: Patches, start: float) -> list[Any]:
        """Conditions that the slab begins as the last one ends."""
        d, before = patches.grid.dimensions, self.finished[-1]
        probe = quadrature.interior(patches.grid, 2).x
        probe = probe[self._whole.inside(probe)][:PROBES]
        found: list[Any] = []
        for component, order in enumerate(self._whole.equation_at(patches).orders(probe, d - 1)):
            if order > 2:
                raise ValueError(
                    f"the equation has the time derivative of order {order}, and slabs continue "
                    "the value and the first one; write it as a system, or set slabs = 1"
                )
            if order > 0:
                value = At(before, component)
                found.append(dde.icbc.IC(slab, value, lambda _, on: on, component=component))
            if order > 1:
                speed = Speed(before, component)
                found.append(
                    dde.icbc.OperatorBC(slab, speed, lambda x, _: np.isclose(x[-1], start))
                )
        return found

    def start(self, patches: Patches, stated: Statement) -> torch.Tensor:
        """The first output weights of the slab, (S, outputs, K)."""
        if not self.finished:
            return stated.start(patches)
        before, time = self.finished[-1], float(self.current[0])

        def end(x: torch.Tensor) -> torch.Tensor:
            return before.blended(torch.cat([x[:, :-1], torch.full_like(x[:, :1], time)], 1))

        with torch.no_grad():
            return fit(patches, end)

    def solution(self, now: Callable[..., torch.Tensor]) -> InTime:
        """u on all slabs so far, ``now`` on the one whose turn it is."""
        ends = [float(one[-1]) for one in self.nodes[: len(self.finished) + 1]]
        return InTime([*self.finished, now], ends)


class At:
    """A component of a network, as a condition asks for it: points (points, d) -> (points, 1)."""

    def __init__(self, net: FBPINN, component: int) -> None:
        self._net, self._component = net, component

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Its values."""
        with torch.no_grad():
            found = self._net(torch.as_tensor(points, dtype=torch.float64))
        return found[:, self._component : self._component + 1].numpy()


class Speed:
    """∂u/∂t minus that of another network, as a condition of DeepXDE asks for it."""

    def __init__(self, net: FBPINN, component: int) -> None:
        self._net, self._component = net, component

    def __call__(self, x: torch.Tensor, u: torch.Tensor, points: np.ndarray) -> torch.Tensor:
        """The difference at the points, shape (points, 1)."""
        d = x.shape[1] - 1
        own = dde.grad.jacobian(u, x, i=self._component, j=d)
        with torch.enable_grad():
            at = torch.as_tensor(points, dtype=torch.float64).clone().requires_grad_()
            value = self._net(at)[:, self._component].sum()
            (slope,) = torch.autograd.grad(value, at)
        return own - slope[:, d:]


def moved(condition: Any, geometry: Any) -> Any:
    """The same condition on another domain; measured values only where they lie in its time."""
    other = copy(condition)
    if hasattr(condition, "points"):
        time, span = np.asarray(condition.points)[:, -1], geometry.timedomain
        own = (time >= span.t0) & (time <= span.t1)
        other.points = np.asarray(condition.points)[own]
        if isinstance(condition.values, torch.Tensor) and condition.values.numel() > 1:
            other.values = condition.values[torch.from_numpy(own)]
    else:
        other.geom = geometry
    return other


def holds_here(condition: Any, patches: Patches) -> bool:
    """Whether a condition of the boundary has points in a slab, or holds by itself."""
    if isinstance(condition, dde.icbc.IC):
        return False
    if isinstance(condition, dde.icbc.PeriodicBC):
        return True
    if hasattr(condition, "points"):
        return len(condition.points) > 0
    return bool(on_faces(patches, condition, 2))

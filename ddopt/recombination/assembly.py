"""How local steps become vectors over all parameters: three kinds, by who moves what, and where.

Legend: s_d the local steps, R_dᵀ s_d the same as vectors (n,), N subdomains.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

from ddopt.decomposition.decomposition import Subdomain

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.numerics.vectors import Geometry

Steps = dict[int, torch.Tensor]  # s_d of the subdomains of this process, shape (n_d,)


class Assembly(ABC):
    """Of the subdomains of one iteration; every method but ``movers`` is a collective."""

    def __init__(self, subdomains: list[Subdomain], executor: Executor) -> None:
        self.subdomains, self.executor = subdomains, executor

    @abstractmethod
    def sum(self, steps: Steps, weights: list[float] | None, like: torch.Tensor) -> torch.Tensor:
        """Σ_d w_d R_dᵀ s_d, shape (n,), the shape of ``like``; all weights are 1 without any."""

    def each(self, steps: Steps, like: torch.Tensor) -> list[torch.Tensor]:
        """R_dᵀ s_d of all subdomains, each of shape (n,)."""
        pairs = zip(self.subdomains, self._parts(steps, like), strict=True)
        return [subdomain.prolong(part, len(like)) for subdomain, part in pairs]

    def movers(self, weights: list[float], like: torch.Tensor) -> torch.Tensor | float:
        """The weights of the subdomains that move each parameter: (n,), or one number for all."""
        if all(subdomain.indices is None for subdomain in self.subdomains):
            return math.fsum(weights)
        return _movers(self.subdomains, like, weights)

    def _parts(self, steps: Steps, like: torch.Tensor) -> list[torch.Tensor]:
        sizes = [subdomain.size(len(like)) for subdomain in self.subdomains]
        return self.executor.each(steps, sizes, like)


class Reduced(Assembly):
    """Several subdomains move one parameter: whole vectors are added up."""

    def sum(self, steps: Steps, weights: list[float] | None, like: torch.Tensor) -> torch.Tensor:
        """One reduction of vectors (n,)."""
        own = {d: self.subdomains[d].prolong(step, len(like)) for d, step in steps.items()}
        if weights is not None:
            own = {d: weights[d] * vector for d, vector in own.items()}
        return self.executor.sum(own, len(self.subdomains), like)


class Placed(Assembly):
    """Each part goes to its place, where no other goes: half the traffic of a reduction."""

    def sum(self, steps: Steps, weights: list[float] | None, like: torch.Tensor) -> torch.Tensor:
        """One gather of the parts."""
        total = torch.zeros_like(like)
        for d, part in enumerate(self._parts(steps, like)):
            total[self.subdomains[d].indices] = part if weights is None else weights[d] * part
        return total


class Staged(Assembly):
    """Every part is where it belongs, on each copy of the stages: only the copies meet."""

    def __init__(self, subdomains: list[Subdomain], executor: Executor, geometry: Geometry) -> None:
        super().__init__(subdomains, executor)
        self._stages, self._copies = geometry.count, geometry.sharing(executor)
        self._count = len(subdomains) // geometry.count  # parts of the samples to a stage

    def sum(self, steps: Steps, weights: list[float] | None, like: torch.Tensor) -> torch.Tensor:
        """One reduction over the copies."""
        return self._copies.sum(self._rows(steps, weights, like), self._count, like)

    def each(self, steps: Steps, like: torch.Tensor) -> list[torch.Tensor]:
        """One gather over the copies."""
        n = len(like)
        rows = self._copies.each(self._rows(steps, None, like), [n] * self._count, like)
        return [
            subdomain.prolong(subdomain.restrict(rows[d // self._stages]), n)
            for d, subdomain in enumerate(self.subdomains)
        ]

    def movers(self, weights: list[float], like: torch.Tensor) -> float:
        """Each stage is moved for each part of the samples."""
        return math.fsum(weights[:: self._stages])

    def _rows(self, steps: Steps, weights: list[float] | None, like: torch.Tensor) -> Steps:
        """This process's steps, those of all stages on one part of the samples in one vector."""
        rows: Steps = {}
        for d, step in steps.items():
            row = rows.setdefault(d // self._stages, torch.zeros_like(like))
            row[self.subdomains[d].indices] = step if weights is None else weights[d] * step
        return rows


def assembly(subdomains: list[Subdomain], executor: Executor, problem: Problem) -> Assembly:
    """The kind that suits the subdomains of a problem."""
    geometry = problem.geometry
    if geometry.sharded:
        return Staged(subdomains, executor, geometry)
    # No author's ``prolong`` may be passed over.
    plain = all(type(one).prolong is Subdomain.prolong for one in subdomains)
    if plain and len(subdomains) > 1 and cover(subdomains, problem)[0] == 1:
        return Placed(subdomains, executor)
    return Reduced(subdomains, executor)


def cover(subdomains: list[Subdomain], problem: Problem) -> tuple[int, float]:
    """How often the subdomains cover the parameters: at most, and in sheets.

    The first is max_p m_p, where m_p subdomains move parameter p; the second Σ_d 1/min_{p∈C_d} m_p:
    1 where each moves everything, N where they are disjoint, N_P for N_D x N_P pairs.
    """
    count, geometry = len(subdomains), problem.geometry
    if all(subdomain.indices is None for subdomain in subdomains):
        return count, 1.0
    if geometry.sharded:
        return count // geometry.count, float(geometry.count)
    like = torch.zeros(problem.layout.size, dtype=torch.float64, device="cpu")  # where indices are
    movers = _movers(subdomains, like, [1.0] * count)
    fewest = [float(subdomain.restrict(movers).min()) for subdomain in subdomains]
    return int(movers.max()), math.fsum(1.0 / few for few in fewest)


def _movers(subdomains: list[Subdomain], like: torch.Tensor, weights: list[float]) -> torch.Tensor:
    total = torch.zeros_like(like)
    for subdomain, weight in zip(subdomains, weights, strict=True):
        total[slice(None) if subdomain.indices is None else subdomain.indices] += weight
    return total

"""Recombination: one global step from the steps of the subdomains.

Legend: s_d the local steps, R_dᵀ s_d the same as vectors (n,), Δ the radius, N subdomains.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from ddopt.component import Component

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain
    from ddopt.executor import Executor
    from ddopt.problem import Point, Problem


@dataclass(frozen=True)
class Corrections:
    """What the subdomains propose; hides which process found what."""

    problem: Problem
    point: Point  # θ_k with f_k and g_k
    radius: float  # Δ, which the recombined step should respect
    subdomains: list[Subdomain]
    steps: dict[int, torch.Tensor]  # s_d of the subdomains of this process, shape (n_d,)
    decreases: list[float]  # f̃_d(θ_{d,0}) − f̃_d(θ_{d,0} + s_d) of all subdomains
    executor: Executor

    def sum(self, weights: list[float] | None = None) -> torch.Tensor:
        """Σ_d w_d R_dᵀ s_d, shape (n,); all weights are 1 where none are given."""
        if self._disjoint:  # each part goes to its place: half the traffic of a reduction
            total = torch.zeros_like(self.point.theta)
            for d, part in enumerate(self._parts()):
                total[self.subdomains[d].indices] = part if weights is None else weights[d] * part
            return total
        n = self.point.theta.numel()
        own = {d: self.subdomains[d].prolong(step, n) for d, step in self.steps.items()}
        if weights is not None:
            own = {d: weights[d] * vector for d, vector in own.items()}
        return self.executor.sum(own, len(self.subdomains), self.point.theta)

    def each(self) -> list[torch.Tensor]:
        """R_dᵀ s_d of all subdomains, each of shape (n,)."""
        n = self.point.theta.numel()
        parts = zip(self.subdomains, self._parts(), strict=True)
        return [subdomain.prolong(part, n) for subdomain, part in parts]

    def _parts(self) -> list[torch.Tensor]:
        if self.problem.geometry.sharded:  # every part is where it belongs
            nothing = self.point.theta[:0]
            return [self.steps.get(d, nothing) for d in range(len(self.subdomains))]
        sizes = [subdomain.size(self.point.theta.numel()) for subdomain in self.subdomains]
        return self.executor.each(self.steps, sizes, self.point.theta)

    @cached_property
    def _disjoint(self) -> bool:
        return len(self.subdomains) > 1 and disjoint(self.subdomains, self.point.theta.numel())

    @cached_property
    def movers(self) -> torch.Tensor | int:
        """How many subdomains move each parameter, shape (n,), or one number for all."""
        if all(subdomain.indices is None for subdomain in self.subdomains):
            return len(self.subdomains)
        return _movers(self.subdomains, self.point.theta)


@dataclass(frozen=True)
class Recombined:
    """The global step and the decrease that it should bring (pred of equation 6)."""

    step: torch.Tensor  # shape: (n,)
    predicted: float
    trial: Point | None = None  # where the recombination has evaluated θ_k + s already
    parallel: float = 0.0  # what that has cost, in full gradients on the longest path
    total: float = 0.0  # and over all processes


class Recombination(Component):
    """Combines the local steps, and says how far each subdomain may go so that this is safe."""

    seam = "recombination"

    @abstractmethod
    def combine(self, corrections: Corrections) -> Recombined:
        """The global step from the local ones."""

    def ball(self, radius: float, subdomains: list[Subdomain], n: int) -> float:
        """Δ_d, the radius that keeps the recombined step within ``radius`` (2-norm)."""
        return radius

    def reset(self) -> None:
        """Forget earlier iterations: the problem has changed."""
        self.load_state_dict(type(self)(self.config).state_dict())

    def state_dict(self) -> dict[str, Any]:
        """What it remembers of earlier iterations: tensors and plain numbers."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""


def _movers(subdomains: list[Subdomain], like: torch.Tensor) -> torch.Tensor:
    counts = torch.zeros_like(like)
    for subdomain in subdomains:
        if subdomain.indices is None:
            counts += 1.0
        else:
            counts[subdomain.indices] += 1.0
    return counts


def disjoint(subdomains: list[Subdomain], n: int) -> bool:
    """Whether no parameter is moved by two subdomains."""
    if any(subdomain.indices is None for subdomain in subdomains):
        return len(subdomains) == 1
    return bool((_movers(subdomains, torch.zeros(n)) <= 1.0).all())

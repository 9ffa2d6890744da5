"""Recombination: one global step from the steps of the subdomains.

Legend: s_d the local steps, R_dᵀ s_d the same as vectors (n,), Δ the radius, N subdomains.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ddopt.decomposition.decomposition import Subdomain
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.question import Curvature, Value, asked
from ddopt.executor.sharded import Sharded
from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Operator, Point, Problem
    from ddopt.executor import Executor


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
    meter: Meter = field(default_factory=Meter)  # what evaluations are charged to
    blind: bool = False  # whether nobody asks for ∇f
    norm: str = "2"  # of the radius
    end: Point | None = None  # of the one subdomain that is the problem itself: f̃_1 is f there

    def alone(self, d: int) -> Problem:
        """f on all of D, evaluated by the process of subdomain ``d`` alone, and charged to it."""
        here, own = self.problem.alone, self.meter.of(d)
        return here.on(own) if isinstance(here, Metered) else Metered(here, own)

    def ends(self) -> dict[int, Point]:
        """f on all of D at the ends of this process's subdomains, each evaluated where it is."""
        theta = self.point.theta
        places = {d: self.subdomains[d].prolong(s, len(theta)) for d, s in self.steps.items()}
        questions = {d: asked(Value(self.alone(d), theta + s)) for d, s in places.items()}
        return self.executor.carry_out(questions)

    def curvature(self) -> Operator:
        """v ↦ ∇²f(θ_k) v, on all processes; every product is charged."""
        product: Operator = self.executor.ask(Curvature(self.problem, self.point.theta))
        return product

    def found(self, recombined: Recombined) -> Found:
        """The trial of a recombined step: at hand, or evaluated now, by all processes."""
        if self.end is not None:
            return self._measured(self.steps[0], self.end)
        if recombined.found is not None:
            return recombined.found
        assert recombined.step is not None
        trial = self.executor.ask(Value(self.problem, self.point.theta + recombined.step))
        return self._measured(recombined.step, trial)

    def _measured(self, step: torch.Tensor, trial: Point) -> Found:
        """A trial that every process has."""
        measure = self.problem.geometry
        slope = math.nan if self.blind else measure.dot(self.point.gradient, step)
        return Found(trial, measure.length(step, self.norm), slope, step)

    def numbers(self, values: dict[int, list[float]]) -> list[list[float]]:
        """The numbers of all subdomains, in order, from those of this process; a collective.

        It comes after every use of ``alone``: what was evaluated there travels with them.
        """
        return self.meter.gather(self.executor, values, len(self.subdomains))

    def sum(self, weights: list[float] | None = None) -> torch.Tensor:
        """Σ_d w_d R_dᵀ s_d, shape (n,); all weights are 1 where none are given."""
        geometry = self.problem.geometry
        if isinstance(geometry, Sharded):  # every part is where it belongs, on each copy of it
            return geometry.copies.sum(self._rows(weights), self._copies, self.point.theta)
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
        geometry = self.problem.geometry
        if isinstance(geometry, Sharded):
            sizes = [n] * self._copies
            rows = geometry.copies.each(self._rows(), sizes, self.point.theta)
            return [
                subdomain.prolong(subdomain.restrict(rows[d // geometry.count]), n)
                for d, subdomain in enumerate(self.subdomains)
            ]
        parts = zip(self.subdomains, self._parts(), strict=True)
        return [subdomain.prolong(part, n) for subdomain, part in parts]

    def _parts(self) -> list[torch.Tensor]:
        sizes = [subdomain.size(self.point.theta.numel()) for subdomain in self.subdomains]
        return self.executor.each(self.steps, sizes, self.point.theta)

    def _rows(self, weights: list[float] | None = None) -> dict[int, torch.Tensor]:
        """This process's steps, those of all stages on one part of the samples in one vector."""
        assert isinstance(self.problem.geometry, Sharded)
        rows: dict[int, torch.Tensor] = {}
        for d, step in self.steps.items():
            i = d // self.problem.geometry.count
            row = rows.setdefault(i, torch.zeros_like(self.point.theta))
            row[self.subdomains[d].indices] = step if weights is None else weights[d] * step
        return rows

    @property
    def _copies(self) -> int:
        """How many parts of the samples there are to a stage."""
        assert isinstance(self.problem.geometry, Sharded)
        return len(self.subdomains) // self.problem.geometry.count

    @cached_property
    def _disjoint(self) -> bool:
        """Whether each part has a place of its own, which no ``prolong`` of an author's changes."""
        own = all(type(one).prolong is Subdomain.prolong for one in self.subdomains)
        return own and len(self.subdomains) > 1 and cover(self.subdomains, self.problem)[0] == 1

    def movers(self, weights: list[float]) -> torch.Tensor | float:
        """The weights of the subdomains that move each parameter: (n,), or one number for all."""
        geometry = self.problem.geometry
        if isinstance(geometry, Sharded):  # each stage is moved for each part of the samples
            return math.fsum(weights[:: geometry.count])
        if all(subdomain.indices is None for subdomain in self.subdomains):
            return math.fsum(weights)
        return _movers(self.subdomains, self.point.theta, weights)


@dataclass(frozen=True)
class Found:
    """A trial that has been evaluated, and what decides about it beside its value.

    Where one process has it, its vectors travel when they are asked for: a rejection asks for none.
    """

    trial: Point  # θ_k + s
    length: float  # ‖s‖
    slope: float  # <g_k, s>
    step: torch.Tensor | None = None  # s, shape (n,); None where one process has it


@dataclass(frozen=True)
class Recombined:
    """The global step and the decrease that it should bring (pred of equation 6)."""

    step: torch.Tensor | None  # shape: (n,); None where one process has it
    predicted: float
    found: Found | None = None  # where one process has evaluated θ_k + s already


class Recombination(Component):
    """Combines the local steps, and says how far each subdomain may go so that this is safe."""

    seam = "recombination"

    @abstractmethod
    def combine(self, corrections: Corrections) -> Recombined:
        """The global step from the local ones."""

    def ball(
        self, radius: float, subdomains: list[Subdomain], problem: Problem, norm: str = "2"
    ) -> float:
        """Δ_d: how far each subdomain may go so that ``combine`` stays within ``radius``.

        It belongs to ``combine``: a longer step is an error. Here it is that of a sum, which is
        safe for every combination with weights of at most 1: Δ/√(mN), where at most m subdomains
        move one parameter. That is Δ/N for parts of the samples, Δ/√N for disjoint parameters,
        Δ/(N_D √N_P) for a product: by Cauchy and Schwarz, ‖s‖² <= m Σ_d ‖s_d‖². In the norm "inf"
        it is Δ/m: disjoint boxes nest in Δ's. What averages, or picks, may allow more.
        """
        most, _ = cover(subdomains, problem)
        return radius / (most if norm == "inf" else math.sqrt(most * len(subdomains)))

    def reset(self) -> None:
        """Forget earlier iterations: the problem has changed."""
        self.load_state_dict(type(self)(self.config).state_dict())


def cover(subdomains: list[Subdomain], problem: Problem) -> tuple[int, float]:
    """How often the subdomains cover the parameters: at most, and in sheets.

    The first is max_p m_p, where m_p subdomains move parameter p; the second Σ_d 1/min_{p∈C_d} m_p:
    1 where each moves everything, N where they are disjoint, N_P for N_D x N_P pairs.
    """
    count, geometry = len(subdomains), problem.geometry
    if all(subdomain.indices is None for subdomain in subdomains):
        return count, 1.0
    if isinstance(geometry, Sharded):
        return count // geometry.count, float(geometry.count)
    like = torch.zeros(problem.layout.size)
    movers = _movers(subdomains, like, [1.0] * count)
    fewest = [float(subdomain.restrict(movers).min()) for subdomain in subdomains]
    return int(movers.max()), math.fsum(1.0 / few for few in fewest)


def _movers(subdomains: list[Subdomain], like: torch.Tensor, weights: list[float]) -> torch.Tensor:
    total = torch.zeros_like(like)
    for subdomain, weight in zip(subdomains, weights, strict=True):
        total[slice(None) if subdomain.indices is None else subdomain.indices] += weight
    return total

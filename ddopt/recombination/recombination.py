"""Recombination: one global step from the steps of the subdomains.

Legend: s_d the local steps, R_dᵀ s_d the same as vectors (n,), Δ the radius, N subdomains.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.question import Curvature, Value, asked
from ddopt.recombination.assembly import assembly, cover
from ddopt.setup.component import Component

if TYPE_CHECKING:
    import torch

    from ddopt.decomposition.decomposition import Subdomain
    from ddopt.evaluation.problem import Operator, Point, Problem
    from ddopt.executor import Executor
    from ddopt.recombination.assembly import Assembly


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
        measure, slope = self.problem.geometry, math.nan
        length = measure.length_later(step, self.norm)
        if not self.blind:
            slope = measure.dot_later(self.point.gradient, step)()
        return Found(trial, length(), slope, step)

    def numbers(self, values: dict[int, list[float]]) -> list[list[float]]:
        """The numbers of all subdomains, in order, from those of this process; a collective.

        It comes after every use of ``alone``: what was evaluated there travels with them.
        """
        return self.meter.gather(self.executor, values, len(self.subdomains))

    def sum(self, weights: list[float] | None = None) -> torch.Tensor:
        """Σ_d w_d R_dᵀ s_d, shape (n,); all weights are 1 where none are given."""
        return self._assembly.sum(self.steps, weights, self.point.theta)

    def each(self) -> list[torch.Tensor]:
        """R_dᵀ s_d of all subdomains, each of shape (n,)."""
        return self._assembly.each(self.steps, self.point.theta)

    def movers(self, weights: list[float]) -> torch.Tensor | float:
        """The weights of the subdomains that move each parameter: (n,), or one number for all."""
        return self._assembly.movers(weights, self.point.theta)

    @cached_property
    def _assembly(self) -> Assembly:
        return assembly(self.subdomains, self.executor, self.problem)


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

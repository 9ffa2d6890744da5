"""The global pass of an outer iteration: trust-region iterations on f itself (step 5).

Legend: θ̃ the iterate after the judge, s the recombined step, Δ̃ the radius after it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ddopt.method import contract
from ddopt.solver.pieces import InPieces

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.executor import Executor
    from ddopt.executor.sharded import Sharded
    from ddopt.method.parts import GlobalPass, StepReport
    from ddopt.recombination import Found
    from ddopt.solver import Solver


class Improvement:
    """Step 5 of the outer iteration; its solver lives as long as the run.

    ``alone``: nothing is decomposed, and the iteration is this pass. ``one_radius``: it begins with
    Δ̃, and what it ends with is the next Δ (``apts``).
    """

    def __init__(
        self, parts: GlobalPass, executor: Executor, *, alone: bool, one_radius: bool
    ) -> None:
        self.parts, self._executor = parts.on(executor), executor
        self._alone, self._one_radius = alone, one_radius

    @property
    def solver(self) -> Solver:
        """The global solver."""
        return self.parts.solver

    @property
    def radius(self) -> float | None:
        """The global solver's own radius; None where it has none."""
        return getattr(self.solver, "radius", None)

    @property
    def memory(self) -> Sharded | None:
        """Where the pieces of the solver's memory are; None where it is whole."""
        return self.solver.geometry if isinstance(self.solver, InPieces) else None

    def learn(self, point: Point, found: Found) -> None:
        """Give the solver the secant pair of the recombined step, which has been taken."""
        trial = found.trial
        step = trial.theta - point.theta if found.step is None else found.step
        self.solver.learn(step, trial.gradient - point.gradient)

    def improve(self, problem: Problem, point: Point, radius: float, report: StepReport) -> Point:
        """Iterate from θ̃ = ``point``; ``radius`` is Δ̃. The end is θ_{k+1}."""
        if self._one_radius:
            self.solver.resize(radius)
        asking = contract.solved(self.solver, problem, point, math.inf, self.parts.iterations)
        (answer,) = self._executor.carry_out({0: asking}).values()
        report.global_ratio, report.global_radius = answer.ratio, self.radius
        report.global_accepted, report.global_rejected = answer.accepted, answer.rejected
        report.refuted += answer.refuted
        report.non_finite += answer.non_finite
        if self._alone:
            report.ratio, report.radius = answer.ratio, self.radius or math.nan
            report.accepted = answer.accepted > 0
            report.step_norm = problem.geometry.norm(answer.step)
        return answer.end

    def radius_after(self, radius: float) -> float:
        """Δ_{k+1}, where Δ̃ was ``radius``."""
        return (self.radius or radius) if self._one_radius else radius

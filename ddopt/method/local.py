"""The local solves of an outer iteration: the subdomains, and what each of them is asked to solve.

Legend: θ_k the iterate, f_k and g_k its value and gradient, Δ_d a subdomain's ball; f_d the loss on
D_d as a function of the parameters in C_d, f̃_d the same made consistent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.problem import Point
from ddopt.evaluation.question import Both
from ddopt.executor import Serial
from ddopt.method import contract, meeting
from ddopt.recombination import Corrections
from ddopt.setup.notice import warn
from ddopt.solver import Answer

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain
    from ddopt.evaluation.meter import Meter, Metered
    from ddopt.evaluation.problem import Problem
    from ddopt.evaluation.question import Asking
    from ddopt.executor import Executor
    from ddopt.method.parts import Preconditioner, StepReport
    from ddopt.numerics.space import Indices
    from ddopt.solver import Solver


class LocalSolves:
    """Step 2 of the outer iteration; the solvers live as long as the run.

    ``blind``: nobody asks for ∇f. ``improving``: a global pass comes after it.
    """

    def __init__(
        self, parts: Preconditioner, executor: Executor, *, blind: bool, improving: bool
    ) -> None:
        self.parts, self._executor = parts, executor
        self._blind, self._improving = blind, improving
        self.solvers: dict[int, Solver] = {}  # of this process's subdomains
        self.index_sets: dict[int, Indices] = {}  # C_d of those, known after ``prepare``
        self.sizes: list[int] | None = None  # n_d of the first subdomains, and of all later ones

    def prepare(self, like: torch.Tensor, problem: Problem) -> None:
        """Make the solvers and their memory, for vectors like ``like`` (n,)."""
        subdomains = self._cut(problem)
        for d in self.shared_by(subdomains).owned(len(subdomains)):
            self.index_sets[d] = subdomains[d].indices
            self.solvers[d] = self.parts.solver.build()
            self.solvers[d].prepare(subdomains[d].restrict(like))

    def split(self, problem: Problem) -> list[Subdomain]:
        """The subdomains. The first ones are looked at: can they be solved, and who is left out?"""
        subdomains = self._cut(problem)
        if self.sizes is None:
            self._inspect(subdomains, problem)
        return subdomains

    def _cut(self, problem: Problem) -> list[Subdomain]:
        """As many subdomains, and as large, as in the first iteration."""
        decomposition = self.parts.decomposition
        with contract.blamed(decomposition, "split()"):
            found = decomposition.split(problem)
        return contract.subdomains(decomposition, found, problem.layout.size, self.sizes)

    def _inspect(self, subdomains: list[Subdomain], problem: Problem) -> None:
        decomposition = self.parts.decomposition
        sharded = problem.geometry.sharded  # stages: each process has its own parameters only
        moved = None if sharded else contract.covered(decomposition, subdomains, problem)
        meeting.same_subdomains(self._executor, decomposition, subdomains, problem)
        self.sizes = [one.size(problem.layout.size) for one in subdomains]
        if moved is not None and not self._improving and not bool(moved.all()):
            left = (~moved).nonzero().flatten().tolist()
            warn(
                f"{len(left)} of {len(moved)} parameters (the first: {left[:5]}) belong to no "
                "subdomain, and there is no global pass: nothing moves them"
            )

    def shared_by(self, subdomains: list[Subdomain]) -> Executor:
        """Who shares the subdomains out; the whole problem is solved by all processes alike."""
        return Serial() if subdomains[0].whole else self._executor

    def judged(self, subdomains: list[Subdomain], *, accepted: bool) -> None:
        """Tell the solvers whether the step that was made of their answers has been taken.

        They let go of what they made at their points: the next local problem has points of its own.
        """
        for d, solver in self.solvers.items():
            solver.judged(accepted)
            if not subdomains[d].whole:
                solver.leave()

    def ball(self, radius: float, subdomains: list[Subdomain], problem: Problem) -> float:
        """Δ_d, as the recombination has it."""
        recombination = self.parts.recombination
        with contract.blamed(recombination, "ball()"):
            found = recombination.ball(radius, subdomains, problem, self.parts.norm)
        return contract.ball(recombination, found)

    def askings(
        self,
        subdomains: list[Subdomain],
        problem: Metered,
        point: Point,
        ball: float,
        meter: Meter,
    ) -> dict[int, Asking[Answer]]:
        """What each subdomain of this process asks, until it has an answer.

        What a subdomain evaluates by itself is charged to its own account of the ``meter``.
        """
        owned = self.shared_by(subdomains).owned(len(subdomains))
        found = {}
        for d in owned:
            solver = self.solvers.setdefault(d, self.parts.solver.build())
            own = problem if subdomains[d].whole else problem.on(meter.of(d))
            found[d] = self._asking(solver, subdomains[d], own, point, ball)
        return found

    def _asking(
        self, solver: Solver, subdomain: Subdomain, problem: Problem, point: Point, ball: float
    ) -> Asking[Answer]:
        """The kind of local solve that suits a solver and a subdomain."""
        if solver.stochastic:
            return self._walk(solver, subdomain, problem, point)
        if subdomain.whole:
            # f̃_d is f: the solver judges each step on f itself, and no ball is needed.
            return contract.solved(solver, problem, point, math.inf, self.parts.iterations)
        if self.parts.one_radius:
            solver.resize(ball)
        if subdomain.samples is None:
            return self._on_parameters(solver, subdomain, problem, point, ball)
        return self._on_samples(solver, subdomain, problem, point, ball)

    def _walk(
        self, solver: Solver, subdomain: Subdomain, problem: Problem, point: Point
    ) -> Asking[Answer]:
        """On micro-batches: neither value nor gradient of f_d is looked at, nor made consistent."""
        local = subdomain.objective(problem, point)
        start = Point(subdomain.restrict(point.theta), math.nan, _unknown)
        return contract.solved(solver, local, start, math.inf, self.parts.iterations)

    def _on_parameters(
        self, solver: Solver, subdomain: Subdomain, problem: Problem, point: Point, ball: float
    ) -> Asking[Answer]:
        """f_d is f on C_d: its value and its gradient at θ_k are known, and r_d = 0."""
        wanted = subdomain.restrict(point.gradient)
        local = subdomain.objective(problem, point)
        start = point.seen(subdomain.restrict(point.theta), point.value, wanted)
        parts = self.parts
        return contract.solved(solver, local, start, ball, parts.iterations, parts.norm)

    def _on_samples(
        self, solver: Solver, subdomain: Subdomain, problem: Problem, point: Point, ball: float
    ) -> Asking[Answer]:
        """f_d must be evaluated at θ_k, and is made consistent with g_k."""
        parts, wanted = self.parts, subdomain.restrict(point.gradient)
        local = subdomain.objective(problem, point)
        start: Point = yield Both(local, subdomain.restrict(point.theta))
        start.foresee(local.geometry)
        if not start.sound(local.geometry):  # the others may find a step without this one
            return Answer(torch.zeros_like(start.theta), 0.0, start, non_finite=1)
        if parts.consistency:
            local = Consistent(local, start, wanted)
            start = local.start
        asking = contract.solved(solver, local, start, ball, parts.iterations, parts.norm)
        return (yield from asking)

    def collected(
        self,
        problem: Problem,
        point: Point,
        subdomains: list[Subdomain],
        answers: dict[int, Answer],
        radius: float,
        meter: Meter,
        report: StepReport,
    ) -> Corrections:
        """Bring the numbers of all subdomains together; the vectors stay until they are needed."""
        executor = self.shared_by(subdomains)
        rows = meter.gather(
            executor,
            {
                d: [a.decrease, float(a.accepted), float(a.rejected), float(a.non_finite)]
                for d, a in answers.items()
            },
            len(subdomains),
        )
        report.local_accepted = int(sum(row[1] for row in rows))
        report.local_rejected = int(sum(row[2] for row in rows))
        report.non_finite += int(sum(row[3] for row in rows))
        whole = subdomains[0].whole and not self.parts.walking
        return Corrections(
            problem=problem,
            point=point,
            radius=radius,
            subdomains=subdomains,
            steps={d: answer.step for d, answer in answers.items()},
            decreases=[row[0] for row in rows],
            executor=executor,
            meter=meter,
            blind=self._blind,
            norm=self.parts.norm,
            end=answers[0].end if whole else None,
        )


def _unknown() -> torch.Tensor:
    raise AssertionError("a solver on micro-batches asked for a gradient over the whole")

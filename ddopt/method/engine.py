"""The outer iteration of every method: decompose, solve, recombine, judge, improve.

Source: arXiv 2502.05133, Algorithm 1, with exchangeable parts. Legend: θ_k the iterate, f_k and
g_k its value and gradient, Δ the radius, s the recombined step, ρ the ratio.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.blank import Blank
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Point
from ddopt.evaluation.question import Both, Value
from ddopt.executor import shared
from ddopt.method import contract, meeting
from ddopt.method.improvement import Improvement
from ddopt.method.judge import Judge
from ddopt.method.judging import set_aside
from ddopt.method.local import LocalSolves
from ddopt.method.parts import StepReport
from ddopt.recombination import Corrections
from ddopt.setup.component import restore, states

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.executor.sharded import Sharded
    from ddopt.method.parts import Parts
    from ddopt.numerics.space import Indices, Layout
    from ddopt.recombination import Found, Recombined
    from ddopt.solver import Solver


class Engine:
    """Runs outer iterations; everything that outlives one of them is its state."""

    def __init__(self, parts: Parts, executor: Executor, shares: int = 1) -> None:
        self.executor = executor
        self.shares = shares  # f(·; D) is evaluated in this many shares, in parallel
        self.point: Point | None = None
        self.draw = 0  # the function that the point was evaluated on
        self.iteration = 0
        self.meter = Meter()  # what the last start or step has evaluated
        self.local: LocalSolves | None = None
        self.judge: Judge | None = None
        self.improvement: Improvement | None = None
        own, last = parts.preconditioner, parts.global_pass
        if last is not None:
            one_radius = own is not None and own.one_radius
            alone = own is None
            self.improvement = Improvement(last, executor, alone=alone, one_radius=one_radius)
            parts = replace(parts, global_pass=self.improvement.parts)
        self.parts = parts
        if own is not None:
            improving = last is not None
            self.local = LocalSolves(own, executor, blind=self.blind, improving=improving)
            self.judge = Judge(own, executor, blind=self.blind, improving=improving)
        self._nowhere = torch.zeros(0)  # stands for the point before there is one
        self._met = self._stepped = False  # whether the processes have compared what they have

    def step(self, problem: Problem) -> StepReport:
        """One outer iteration on ``problem`` from θ_k, the current ``point``: Algorithm 1.

        Where the problem is another draw (the next mini-batch), f and g are evaluated anew: every
        ratio and every secant pair of an iteration then compares the same samples.
        """
        assert self.point is not None, "start() comes first"
        self._meet(problem, self.point.theta)
        report = StepReport(iteration=self.iteration)
        self.meter.reset()
        sent = (self.executor.bytes_sent, self.executor.collectives)
        judged, work = self._roles(problem)

        # Step 1: f_k and g_k.
        anew = problem.draw != self.draw or judged is not work
        point = self._evaluated(judged, self.point.theta) if anew else self.point
        if not self.begins(judged, point):
            return self._passed_over(problem, report, alone=judged is work)
        self.draw = problem.draw

        if self.local is not None and self.judge is not None:
            # Step 2: the local solves, in parallel.
            subdomains = self.local.split(work)
            ball = self.local.ball(self.radius, subdomains, work)
            askings = self.local.askings(subdomains, work, point, ball, self.meter)
            wanted = list(askings)
            answers = contract.answers(self.executor, self.executor.carry_out(askings), wanted)

            # Step 3: one step from all of theirs.
            corrections = self.local.collected(
                judged, point, subdomains, answers, self.radius, self.meter, report
            )
            recombined = self._recombined(corrections)

            # Step 4: is it taken, and how long may the next one be?
            taken = self.judge.decide(corrections, recombined, report, anew=anew)
            self.local.judged(subdomains, accepted=taken is not None)
            if taken is not None:
                point = self._moved(point, taken)

        # Step 5: the global pass.
        if self.improvement is not None:
            whole = Metered(problem, self.meter)
            point = self.improvement.improve(whole, point, self.radius, report)
            self.radius = self.improvement.radius_after(self.radius)
            if self.local is not None and not (self.blind or anew):
                point.gradient  # noqa: B018 - the next local solves ask for it, and a checkpoint
        return self._finished(point, report, sent)

    @property
    def radius(self) -> float:
        """Δ of the recombined step; nan where nothing is decomposed."""
        return math.nan if self.judge is None else self.judge.radius

    @radius.setter
    def radius(self, radius: float) -> None:
        if self.judge is not None:
            self.judge.radius = radius

    @property
    def subdomains(self) -> int | None:
        """N, as many as the decomposition has given; None before it was asked."""
        sizes = None if self.local is None else self.local.sizes
        return None if sizes is None else len(sizes)

    @property
    def solvers(self) -> dict[int, Solver]:
        """The local solvers of this process, by subdomain."""
        return {} if self.local is None else self.local.solvers

    @property
    def index_sets(self) -> dict[int, Indices]:
        """C_d of this process's subdomains, known after ``prepare``."""
        return {} if self.local is None else self.local.index_sets

    @cached_property
    def blind(self) -> bool:
        """Whether nobody asks for ∇f: all solvers walk on micro-batches."""
        parts = self.parts.preconditioner
        return parts is not None and parts.walking and self.parts.global_pass is None

    def _roles(self, problem: Problem) -> tuple[Metered, Metered]:
        """Where f is compared, and where the subdomains work; all of D for both, by default."""
        parts = self.parts.preconditioner
        if parts is None or not parts.judged:
            metered = Metered(problem, self.meter)
            return metered, metered
        judge, work = set_aside(problem, parts.judged, self.iteration)
        judge, _ = shared(judge, self.shares, self.executor)
        return Metered(judge, self.meter), Metered(work, self.meter)

    def _evaluated(self, problem: Problem, theta: torch.Tensor) -> Point:
        """f at θ (n,), and its gradient where somebody will ask for it."""
        ask = Value if self.blind else Both
        point: Point = self.executor.ask(ask(problem, theta))
        return point

    def begins(self, problem: Problem, point: Point | None = None) -> bool:
        """Whether a step can begin at ``point``, the current one where none is given.

        f, and ∇f where it is asked for, must be finite.
        """
        point = point or self.point
        assert point is not None, "start() comes first"
        if self.blind:
            return math.isfinite(point.value)
        return point.sound(problem.geometry)

    def _passed_over(self, problem: Problem, report: StepReport, *, alone: bool) -> StepReport:
        """An iteration in which nothing can be tried; another draw, or judge, may be better."""
        assert self.point is not None
        report.non_finite = 1
        report.stuck = alone and problem.draw == 0
        report.parallel, report.total = self.meter.parallel, self.meter.total
        report.loss, report.radius = self.point.value, self.current_radius or math.nan
        self.iteration += 1
        return report

    def _recombined(self, corrections: Corrections) -> Recombined:
        """The recombined step; the first one is compared over the processes before it is tried."""
        assert self.local is not None
        recombination, layout = self.local.parts.recombination, corrections.problem.layout
        with contract.blamed(recombination, "combine()"):
            found = recombination.combine(corrections)
        recombined = contract.recombined(recombination, found, layout)
        if not self._stepped:
            meeting.same_step(self.executor, recombination, recombined, corrections.problem)
        self._stepped = True
        return recombined

    def _moved(self, point: Point, found: Found) -> Point:
        """The next iterate, which the global solver learns from."""
        found.trial.theta  # noqa: B018 - where one process has it, all ask for it here
        if self.improvement is not None:
            self.improvement.learn(point, found)
        return found.trial

    def _finished(self, point: Point, report: StepReport, sent: tuple[int, int]) -> StepReport:
        """Go to ``point``, and say what the iteration has cost."""
        self.point, report.loss = point, point.value
        self.iteration += 1
        report.parallel, report.total = self.meter.parallel, self.meter.total
        report.bytes_sent = self.executor.bytes_sent - sent[0]
        report.collectives = self.executor.collectives - sent[1]
        return report

    def prepare(self, layout: Layout, problem: Problem | None = None) -> None:
        """Make the solvers and their memory before the first iteration, for vectors of a layout.

        The ``problem`` is needed where it says who moves what: where it is cut into stages.
        """
        problem = problem or Blank(layout)
        like = torch.zeros(layout.size, dtype=layout.dtype, device=layout.device)
        self.point, self._nowhere = None, like
        if self.improvement is not None:
            self.improvement.solver.prepare(like)
        if self.local is not None:
            self.local.prepare(like, problem)

    def reset(self) -> None:
        """Forget all curvature and all earlier values; the problem is another. Radii stay."""
        for solver in self._all_solvers():
            solver.reset()
        self._forget_values()

    def renew(self) -> None:
        """Forget earlier values, for a problem that is near enough to keep the curvature."""
        for solver in self._all_solvers():
            solver.renew()
        self._forget_values()

    def _all_solvers(self) -> list[Solver]:
        last = self.improvement
        return [*self.solvers.values(), *([last.solver] if last is not None else [])]

    def _forget_values(self) -> None:
        if self.parts.preconditioner is not None:
            self.parts.preconditioner.acceptance.reset()
            self.parts.preconditioner.recombination.reset()

    @property
    def current_radius(self) -> float | None:
        """The recombined step's radius, or the global solver's where nothing is decomposed."""
        if self.parts.preconditioner is not None:
            return self.radius
        assert self.improvement is not None
        return self.improvement.radius

    @property
    def memory(self) -> Sharded | None:
        """Where the pieces of the global solver's memory are; None where it is whole."""
        return None if self.improvement is None else self.improvement.memory

    def start(self, problem: Problem, theta: torch.Tensor) -> float:
        """Evaluate f and g where the iterations start; returns its cost in full gradients."""
        self.meter.reset()
        self._meet(problem, theta)
        judged, _ = self._roles(problem)
        self.point = self._evaluated(judged, theta)
        self.draw = problem.draw
        return self.meter.total

    def _meet(self, problem: Problem, theta: torch.Tensor) -> None:
        """Before anything else: does every process see the same method and problem?"""
        if self._met:
            return
        self._met = True
        meeting.same_problem(self.executor, self.parts, problem, theta)
        if self.improvement is not None:
            self.improvement.solver.measure(problem.geometry)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next iteration depends on, keyed by subdomain."""
        parts = self.parts
        point = self.point or Point(self._nowhere, math.nan, self._nowhere)
        state: dict[str, Any] = {
            "point": {
                "theta": point.theta,
                "value": point.value,
                "gradient": point.gradient,
                "epsilon": point.epsilon,
            },
            "started": self.point is not None,
            "draw": self.draw,
            "radius": self.radius,
            "iteration": self.iteration,
            "solvers": {d: solver.state_dict() for d, solver in self.solvers.items()},
        }
        if self.improvement is not None:
            state["global"] = self.improvement.solver.state_dict()
        if parts.preconditioner is not None:
            state["parts"] = states(parts.preconditioner)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave; the next iteration is bit-identical."""
        parts, point = self.parts, state["point"]
        started = state.get("started", not math.isnan(point["value"]))
        self.point = Point(**point) if started else None
        self.radius, self.iteration = float(state["radius"]), int(state["iteration"])
        self.draw = int(state["draw"])
        if parts.preconditioner is not None:
            restore(parts.preconditioner, state["parts"])
            missing = sorted(self.solvers.keys() - {int(d) for d in state["solvers"]})
            if missing:
                raise ValueError(
                    f"this state has no solver for the subdomains {missing}: it was saved with "
                    f"{len(state['solvers'])} in this process; use as many subdomains and processes"
                )
            for d, saved in state["solvers"].items():
                self.solvers.setdefault(int(d), parts.preconditioner.solver.build())
                self.solvers[int(d)].load_state_dict(saved)
        if self.improvement is not None:
            self.improvement.solver.load_state_dict(state["global"])

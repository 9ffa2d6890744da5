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

from ddopt.acceptance.acceptance import ROUND_OFF
from ddopt.decomposition import inventory
from ddopt.evaluation.derived import Consistent
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Blank, Point
from ddopt.executor import Serial, shared
from ddopt.executor.sharded import Sharded
from ddopt.method import contract
from ddopt.method.credible import Credence
from ddopt.method.judging import set_aside
from ddopt.method.parts import StepReport
from ddopt.method.retry import predicted_at, shortened
from ddopt.numerics.vectors import fingerprint
from ddopt.radius import Trial, unusable
from ddopt.recombination import Corrections, Found
from ddopt.setup.component import restore, states
from ddopt.setup.notice import warn
from ddopt.solver import Answer
from ddopt.solver.pieces import InPieces

if TYPE_CHECKING:
    from ddopt.decomposition import Subdomain
    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import GlobalPass, Parts, Preconditioner
    from ddopt.numerics.space import Indices, Layout
    from ddopt.radius import RadiusRule
    from ddopt.recombination import Recombined
    from ddopt.solver import Solver


class Engine:
    """Runs outer iterations; everything that outlives one of them is its state."""

    def __init__(self, parts: Parts, executor: Executor, shares: int = 1) -> None:
        global_pass = parts.global_pass and parts.global_pass.on(executor)
        self.parts = replace(parts, global_pass=global_pass)
        self.executor = executor
        self.shares = shares  # f(·; D) is evaluated in this many shares, in parallel
        self.point: Point | None = None
        self.draw = 0  # the function that the point was evaluated on
        self.solvers: dict[int, Solver] = {}
        self.index_sets: dict[int, Indices] = {}
        self._nowhere = torch.zeros(0)  # stands for the point before there is one
        self.radius = parts.preconditioner.first_radius if parts.preconditioner else math.nan
        self.iteration = 0
        self._credence = Credence()
        self.meter = Meter()  # what the last start or step has evaluated
        self._met = False
        self._inspected = False
        self._sizes: list[int] | None = None  # n_d of the first subdomains, and of all later ones
        self._trials: list[Trial] = []  # of this step, as they were judged
        self._stepped = False  # whether all processes have taken one and the same step

    @cached_property
    def blind(self) -> bool:
        """Whether nobody asks for ∇f: all solvers walk on micro-batches."""
        parts = self.parts.preconditioner
        if parts is None or self.parts.global_pass is not None:
            return False
        return bool(parts.solver.build().stochastic)

    def _roles(self, problem: Problem) -> tuple[Metered, Metered]:
        """Where f is compared, and where the subdomains work; all of D for both, by default."""
        parts = self.parts.preconditioner
        if parts is None or not parts.judged:
            metered = Metered(problem, self.meter)
            return metered, metered
        judge, work = set_aside(problem, parts.judged, self.iteration)
        judge, _ = shared(judge, self.shares, self.executor)
        return Metered(judge, self.meter), Metered(work, self.meter)

    def step(self, problem: Problem) -> StepReport:
        """One outer iteration on ``problem`` from ``self.point``.

        Where the problem is another draw (the next mini-batch), f and g are evaluated anew: every
        ratio and every secant pair of an iteration then compares the same samples.
        """
        point = self.point
        assert point is not None, "start() comes first"
        self._meet(problem, point.theta)
        sent = (self.executor.bytes_sent, self.executor.collectives)
        report, self.meter = StepReport(iteration=self.iteration), Meter()
        self._trials = report.trials
        judge, work = self._roles(problem)
        if problem.draw != self.draw or judge is not work:
            point = (judge.at if self.blind else judge.both)(point.theta)
        if not self.begins(judge, point):
            return self._pass_over(problem, report, alone=judge is work)
        self.draw = problem.draw
        if self.parts.preconditioner is not None:
            point = self._precondition(self.parts.preconditioner, judge, work, point, report)
        if self.parts.global_pass is not None:
            whole = Metered(problem, self.meter)
            point = self._improve(self.parts.global_pass, whole, point, report)
        self.point = point
        self.iteration += 1
        report.loss = point.value
        report.parallel, report.total = self.meter.parallel, self.meter.total
        report.bytes_sent = self.executor.bytes_sent - sent[0]
        report.collectives = self.executor.collectives - sent[1]
        return report

    def begins(self, problem: Problem, point: Point | None = None) -> bool:
        """Whether a step can begin at ``point``, the current one where none is given.

        f, and ∇f where it is asked for, must be finite.
        """
        point = point or self.point
        assert point is not None, "start() comes first"
        if self.blind:
            return math.isfinite(point.value)
        return point.sound(problem.geometry)

    def _pass_over(self, problem: Problem, report: StepReport, *, alone: bool) -> StepReport:
        """An iteration in which nothing can be tried; another draw, or judge, may be better."""
        assert self.point is not None
        report.non_finite = 1
        report.stuck = alone and problem.draw == 0
        report.parallel, report.total = self.meter.parallel, self.meter.total
        report.loss, report.radius = self.point.value, self.current_radius or math.nan
        self.iteration += 1
        return report

    def prepare(self, layout: Layout, problem: Problem | None = None) -> None:
        """Make the solvers and their memory before the first iteration, for vectors of a layout.

        The ``problem`` is needed where it says who moves what: where it is cut into stages.
        """
        problem = problem or Blank(layout)
        like = torch.zeros(layout.size, dtype=layout.dtype, device=layout.device)
        self.point, self._nowhere = None, like
        if self.parts.global_pass is not None:
            self.parts.global_pass.solver.prepare(like)
        if self.parts.preconditioner is None:
            return
        subdomains = self._split(problem)
        for d in self._sharing(subdomains).owned(len(subdomains)):
            self.index_sets[d] = subdomains[d].indices
            self.solvers[d] = self.parts.preconditioner.solver.build()
            self.solvers[d].prepare(subdomains[d].restrict(like))

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
        parts = self.parts.global_pass
        return [*self.solvers.values(), *([parts.solver] if parts is not None else [])]

    def _forget_values(self) -> None:
        if self.parts.preconditioner is not None:
            self.parts.preconditioner.acceptance.reset()
            self.parts.preconditioner.recombination.reset()

    @property
    def subdomains(self) -> int | None:
        """N, as many as the decomposition has given; None before it was asked."""
        return None if self._sizes is None else len(self._sizes)

    @property
    def current_radius(self) -> float | None:
        """The recombined step's radius, or the global solver's where nothing is decomposed."""
        if self.parts.preconditioner is not None:
            return self.radius
        assert self.parts.global_pass is not None
        return getattr(self.parts.global_pass.solver, "radius", None)

    @property
    def memory(self) -> Sharded | None:
        """Where the pieces of the global solver's memory are; None where it is whole."""
        solver = self.parts.global_pass.solver if self.parts.global_pass is not None else None
        return solver.geometry if isinstance(solver, InPieces) else None

    def start(self, problem: Problem, theta: torch.Tensor) -> float:
        """Evaluate f and g where the iterations start; returns its cost in full gradients."""
        self.meter = Meter()
        self._meet(problem, theta)
        judge, _ = self._roles(problem)
        self.point = (judge.at if self.blind else judge.both)(theta)
        self.draw = problem.draw
        return self.meter.total

    def _meet(self, problem: Problem, theta: torch.Tensor) -> None:
        """Before anything else: does every process see the same method and problem?"""
        if self._met:
            return
        self._met = True
        if self.executor.size > 1:
            self.executor.agree({"method": repr(self.parts), **problem.facts(theta)})
        if self.parts.global_pass is not None:
            self.parts.global_pass.solver.measure(problem.geometry)

    def _precondition(
        self,
        parts: Preconditioner,
        problem: Metered,
        work: Metered,
        point: Point,
        report: StepReport,
    ) -> Point:
        subdomains = self._split(work)
        if not self._inspected:
            self._inspect(subdomains, work)
        if not self.blind:
            point.gradient  # noqa: B018 - reduced here, by all: a process may own no subdomain
        with contract.blamed(parts.recombination, "ball()"):
            ball = parts.recombination.ball(self.radius, subdomains, work, parts.norm)
        contract.ball(parts.recombination, ball)
        answers = {
            d: self._solve(parts, work, point, subdomains[d], ball)
            for d in self._sharing(subdomains).owned(len(subdomains))
        }
        corrections = self._collect(problem, point, subdomains, answers, report)
        recombined = self._combine(corrections)
        if not recombined.predicted > 0.0:  # no subdomain found anything better
            self._give_up(parts, point, recombined.predicted, report)
            report.radius = self.radius
            return point
        found = recombined.found
        if subdomains[0].whole and 0 in answers and not self.solvers[0].stochastic:
            own = answers[0]  # f̃_1 is f, and its end has been evaluated
            found = self._found(problem, point, own.step, own.end)
        elif found is None:
            assert recombined.step is not None
            step = recombined.step
            found = self._found(problem, point, step, problem.at(point.theta + step))
        predicted = recombined.predicted
        if not (subdomains[0].whole or self._walking):
            layout, theta = problem.layout, point.theta
            contract.contained(parts.recombination, found.length, self.radius, layout, theta)
        self._judge(parts, problem, point, found, predicted, report)
        while (
            not report.accepted
            and report.retried < parts.retries
            and found.slope < 0.0
            and found.step is not None
        ):
            tau = shortened(found.slope, found.trial.value - point.value)
            predicted = predicted_at(tau, found.slope, predicted)
            step = tau * found.step
            trial = problem.at(point.theta + step)
            found = Found(trial, tau * found.length, tau * found.slope, step)
            report.retried += 1
            self._judge(parts, problem, point, found, predicted, report)
        for d in answers:
            self.solvers[d].judged(report.accepted)
        if not report.accepted:
            return point
        trial = found.trial
        trial.theta  # noqa: B018 - travels now, where one process has it
        if self.parts.global_pass is not None:
            step = trial.theta - point.theta if found.step is None else found.step
            self.parts.global_pass.solver.learn(step, trial.gradient - point.gradient)
        return trial

    @property
    def _walking(self) -> bool:
        """Whether the local solvers walk on micro-batches, which no ball holds."""
        assert self.parts.preconditioner is not None
        return bool(self.parts.preconditioner.solver.component.stochastic)

    @property
    def _norm(self) -> str:
        assert self.parts.preconditioner is not None
        return self.parts.preconditioner.norm

    def _found(self, problem: Problem, point: Point, step: torch.Tensor, trial: Point) -> Found:
        """A trial that every process has."""
        measure = problem.geometry
        slope = math.nan if self.blind else measure.dot(point.gradient, step)
        return Found(trial, measure.length(step, self._norm), slope, step)

    def _judge(
        self,
        parts: Preconditioner,
        problem: Problem,
        point: Point,
        found: Found,
        predicted: float,
        report: StepReport,
    ) -> None:
        """Accept or reject the recombined step, and let the radius follow (step 4)."""
        memory = parts.acceptance.state_dict()
        parts.acceptance.by_value = not self._asks_gradients(problem)
        with contract.blamed(parts.acceptance, "consider()"):
            verdict = parts.acceptance.consider(problem, point, found.trial, predicted, self.radius)
        contract.verdict(parts.acceptance, verdict)
        if verdict.accepted and not self._believes(problem, point, found):
            parts.acceptance.load_state_dict(memory)
            verdict = replace(verdict, accepted=False, ratio=-math.inf, non_finite=True)
        report.refuted += verdict.refuted
        report.non_finite += verdict.non_finite
        if not self.blind:  # walks on micro-batches have lengths of their own
            trial = Trial(
                radius=self.radius,
                step_norm=found.length,
                ratio=verdict.ratio,
                accepted=verdict.accepted,
                predicted=predicted,
                slope=found.slope,
                change=found.trial.value - point.value,
                first=parts.first_radius,
            )
            self._follow(parts.radius, trial)
        report.ratio, report.accepted = verdict.ratio, verdict.accepted
        report.radius, report.step_norm = self.radius, found.length

    def _believes(self, problem: Problem, point: Point, found: Found) -> bool:
        """Whether the gradients before and after the step can be those of f."""
        if self.blind:
            return True
        return self._credence.believes(point, found.trial, found.length, problem.geometry)

    def _asks_gradients(self, problem: Problem) -> bool:
        """Whether the gradient of a trial that is taken will be used, and nobody has looked at it.

        The next step evaluates it anew where f is another draw.
        """
        used = problem.draw == 0 or self.parts.global_pass is not None
        return used and not (self.blind or problem.vouches)

    def _give_up(
        self, parts: Preconditioner, point: Point, predicted: float, report: StepReport
    ) -> None:
        """Nothing is there to be judged; where walks have ended higher, the ball was too large.

        Solvers that judge their own steps end no higher, but for round-off, and have radii of their
        own to shrink. On new samples the same ball may do. A promise of nan is a rejected trial:
        the curvature of the recombination's model is not finite.
        """
        for solver in self.solvers.values():
            solver.judged(accepted=False)
        noise = parts.iterations * ROUND_OFF * point.epsilon * abs(point.value)
        broken = math.isnan(predicted)
        report.non_finite += broken
        if broken:
            self._follow(parts.radius, unusable(self.radius, 0.0, first=parts.first_radius))
        elif predicted < -noise and point is self.point:
            rise = unusable(self.radius, predicted, -predicted, first=parts.first_radius)
            self._follow(parts.radius, rise)

    def _follow(self, rule: RadiusRule, trial: Trial) -> None:
        """The next radius."""
        self._trials.append(trial)
        with contract.blamed(rule, "update()"):
            found = rule.update(trial)
        self.radius = contract.radius(rule, found, self.radius)

    def _solve(
        self,
        parts: Preconditioner,
        problem: Metered,
        point: Point,
        subdomain: Subdomain,
        ball: float,
    ) -> Answer:
        """The local iterations of one subdomain (step 2)."""
        solver = self.solvers.setdefault(subdomain.index, parts.solver.build())
        if not subdomain.whole:  # the whole is solved by all alike
            problem = problem.on(self.meter.of(subdomain.index))
        if solver.stochastic:  # neither value nor gradient of f_d is looked at, nor made consistent
            local = subdomain.objective(problem, point)
            start = Point(subdomain.restrict(point.theta), math.nan, _unknown)
            return contract.solved(solver, local, start, math.inf, parts.iterations)
        if subdomain.whole:  # f̃_d is f: the solver judges each step on f itself, no ball is needed
            return contract.solved(solver, problem, point, math.inf, parts.iterations)
        if parts.one_radius:
            solver.resize(ball)
        wanted = subdomain.restrict(point.gradient)
        local = subdomain.objective(problem, point)
        theta = subdomain.restrict(point.theta)
        if subdomain.samples is None:  # f_d is f on C_d: value and gradient are known, r_d = 0
            start = point.seen(theta, point.value, wanted)
            return contract.solved(solver, local, start, ball, parts.iterations, parts.norm)
        start = local.both(theta)
        if not start.sound(local.geometry):  # the others may find a step without this one
            return Answer(torch.zeros_like(theta), 0.0, start, non_finite=1)
        if parts.consistency:
            local = Consistent(local, start, wanted)
            start = local.start
        return contract.solved(solver, local, start, ball, parts.iterations, parts.norm)

    def _split(self, problem: Problem) -> list[Subdomain]:
        """The subdomains; as many, and as large, as in the first iteration."""
        assert self.parts.preconditioner is not None
        decomposition, n = self.parts.preconditioner.decomposition, problem.layout.size
        with contract.blamed(decomposition, "split()"):
            found = decomposition.split(problem)
        return contract.subdomains(decomposition, found, n, self._sizes)

    def _combine(self, corrections: Corrections) -> Recombined:
        """The recombined step; the first one is compared over the processes before it is tried."""
        assert self.parts.preconditioner is not None
        recombination, layout = self.parts.preconditioner.recombination, corrections.problem.layout
        with contract.blamed(recombination, "combine()"):
            found = recombination.combine(corrections)
        recombined = contract.recombined(recombination, found, layout)
        if not self._stepped and self.executor.size > 1:
            facts = {"predicted decrease": repr(float(recombined.predicted))}
            if recombined.step is not None and not corrections.problem.geometry.sharded:
                facts["step"] = fingerprint(recombined.step)
            name = type(recombination).__name__
            self.executor.agree({f"{fact} of {name}": text for fact, text in facts.items()})
        self._stepped = True
        return recombined

    def _inspect(self, subdomains: list[Subdomain], problem: Problem) -> None:
        """Can the first subdomains be solved, and does somebody move every parameter?"""
        self._inspected = True
        assert self.parts.preconditioner is not None
        decomposition = self.parts.preconditioner.decomposition
        sharded = isinstance(problem.geometry, Sharded)
        if not sharded:
            left = ~contract.covered(decomposition, subdomains, problem)
        if self.executor.size > 1:
            name = type(decomposition).__name__
            text = inventory(subdomains, problem.layout.size, parameters=not sharded)
            self.executor.agree({f"subdomains of {name}": text})
        self._sizes = [one.size(problem.layout.size) for one in subdomains]
        if sharded:
            return  # stages: each process has its own parameters only
        if self.parts.global_pass is None and bool(left.any()):
            some = left.nonzero().flatten().tolist()[:5]
            warn(
                f"{int(left.sum())} of {len(left)} parameters (the first: {some}) belong to no "
                "subdomain, and there is no global pass: nothing moves them"
            )

    def _collect(
        self,
        problem: Problem,
        point: Point,
        subdomains: list[Subdomain],
        answers: dict[int, Answer],
        report: StepReport,
    ) -> Corrections:
        """Bring the numbers of all subdomains together; the vectors stay until they are needed."""
        executor = self._sharing(subdomains)
        rows = self.meter.gather(
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
        return Corrections(
            problem=problem,
            point=point,
            radius=self.radius,
            subdomains=subdomains,
            steps={d: answer.step for d, answer in answers.items()},
            decreases=[row[0] for row in rows],
            executor=executor,
            meter=self.meter,
            blind=self.blind,
            norm=self._norm,
        )

    def _sharing(self, subdomains: list[Subdomain]) -> Executor:
        """Who shares the subdomains out; the whole problem is solved by all processes alike."""
        return Serial() if subdomains[0].whole else self.executor

    def _improve(
        self, parts: GlobalPass, problem: Problem, point: Point, report: StepReport
    ) -> Point:
        """The global pass (step 5)."""
        preconditioner = self.parts.preconditioner
        one_radius = preconditioner is not None and preconditioner.one_radius
        if one_radius:
            parts.solver.resize(self.radius)
        answer = contract.solved(parts.solver, problem, point, math.inf, parts.iterations)
        if one_radius:
            self.radius = getattr(parts.solver, "radius", None) or self.radius
        report.global_ratio = answer.ratio
        report.global_radius = getattr(parts.solver, "radius", None)
        report.global_accepted, report.global_rejected = answer.accepted, answer.rejected
        report.refuted += answer.refuted
        report.non_finite += answer.non_finite
        if self.parts.preconditioner is None:
            report.ratio, report.radius = answer.ratio, report.global_radius or math.nan
            report.accepted = answer.accepted > 0
            report.step_norm = problem.geometry.norm(answer.step)
        return answer.end

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
            "draw": self.draw,
            "radius": self.radius,
            "iteration": self.iteration,
            "solvers": {d: solver.state_dict() for d, solver in self.solvers.items()},
        }
        if parts.global_pass is not None:
            state["global"] = parts.global_pass.solver.state_dict()
        if parts.preconditioner is not None:
            state["parts"] = states(parts.preconditioner)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave; the next iteration is bit-identical."""
        parts, point = self.parts, state["point"]
        started = not math.isnan(point["value"])
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
        if parts.global_pass is not None:
            parts.global_pass.solver.load_state_dict(state["global"])


def _unknown() -> torch.Tensor:
    raise AssertionError("a solver on micro-batches asked for a gradient over the whole")

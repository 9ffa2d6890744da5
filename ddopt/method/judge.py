"""The judge of recombined steps: accepted or rejected, and the radius follows (step 4).

Legend: θ_k the iterate, s the recombined step, ρ the ratio, Δ the radius.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from ddopt.acceptance.acceptance import ROUND_OFF
from ddopt.evaluation.question import Value, Work
from ddopt.method import contract
from ddopt.method.credible import Credence
from ddopt.method.retry import predicted_at, shortened
from ddopt.radius import Trial, unusable
from ddopt.recombination import Found

if TYPE_CHECKING:
    from ddopt.acceptance import Verdict
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import Preconditioner, StepReport
    from ddopt.recombination import Corrections, Recombined


class Judge:
    """Owns Δ. ``blind``: nobody asks for ∇f. ``improving``: a global pass comes after it."""

    def __init__(
        self, parts: Preconditioner, executor: Executor, *, blind: bool, improving: bool
    ) -> None:
        self.parts, self.radius = parts, parts.first_radius
        self._executor, self._blind, self._improving = executor, blind, improving
        self._credence = Credence()

    def decide(
        self, corrections: Corrections, recombined: Recombined, report: StepReport, *, anew: bool
    ) -> Found | None:
        """The step that is taken, and where it leads; None where none is.

        ``anew``: f is compared on other samples than in the last iteration.
        """
        if not recombined.predicted > 0.0:  # no subdomain has found anything better
            self._without_step(corrections.point, recombined.predicted, report, anew=anew)
            return None
        found = corrections.found(recombined)
        self._refuse_longer(corrections, found.length)
        found = self._tried(corrections, found, recombined.predicted, report)
        return found if report.accepted else None

    def _refuse_longer(self, corrections: Corrections, length: float) -> None:
        """A step of that length must stay in Δ, where balls have held its parts."""
        if corrections.subdomains[0].whole or self.parts.walking:
            return
        layout, theta = corrections.problem.layout, corrections.point.theta
        contract.contained(self.parts.recombination, length, self.radius, layout, theta)

    def _tried(
        self, corrections: Corrections, found: Found, predicted: float, report: StepReport
    ) -> Found:
        """The step that is judged last: ``found``, or a shorter one where it is rejected."""
        problem, point = corrections.problem, corrections.point
        self._judge(problem, point, found, predicted, report)
        while (
            not report.accepted
            and report.retried < self.parts.retries
            and found.slope < 0.0
            and found.step is not None
        ):
            tau = shortened(found.slope, found.trial.value - point.value)
            predicted = predicted_at(tau, found.slope, predicted)
            step = tau * found.step
            trial: Point = self._executor.ask(Value(problem, point.theta + step))
            found = Found(trial, tau * found.length, tau * found.slope, step)
            report.retried += 1
            self._judge(problem, point, found, predicted, report)
        return found

    def _judge(
        self, problem: Problem, point: Point, found: Found, predicted: float, report: StepReport
    ) -> None:
        verdict = self._verdict(problem, point, found, predicted)
        report.refuted += verdict.refuted
        report.non_finite += verdict.non_finite
        if not self._blind:  # walks on micro-batches have lengths of their own
            trial = Trial(
                radius=self.radius,
                step_norm=found.length,
                ratio=verdict.ratio,
                accepted=verdict.accepted,
                predicted=predicted,
                slope=found.slope,
                change=found.trial.value - point.value,
                first=self.parts.first_radius,
            )
            self._follow(trial, report)
        report.ratio, report.accepted = verdict.ratio, verdict.accepted
        report.radius, report.step_norm = self.radius, found.length

    def _verdict(self, problem: Problem, point: Point, found: Found, predicted: float) -> Verdict:
        """The policy's; a step between gradients that cannot both be those of f is rejected."""
        acceptance = self.parts.acceptance
        memory = acceptance.state_dict()
        acceptance.by_value = not self._asks_gradients(problem)

        def consider(f: Problem) -> Verdict:  # may ask independent samples
            return acceptance.consider(f, point, found.trial, predicted, self.radius)

        with contract.blamed(acceptance, "consider()"):
            verdict: Verdict = self._executor.ask(Work(problem, consider))
        contract.verdict(acceptance, verdict)
        if verdict.accepted and not self._believes(problem, point, found):
            acceptance.load_state_dict(memory)
            return replace(verdict, accepted=False, ratio=-math.inf, non_finite=True)
        return verdict

    def _believes(self, problem: Problem, point: Point, found: Found) -> bool:
        """Whether the gradients before and after the step can be those of f."""
        if self._blind:
            return True
        return self._credence.believes(point, found.trial, found.length, problem.geometry)

    def _asks_gradients(self, problem: Problem) -> bool:
        """Whether the gradient of a trial that is taken will be used, and nobody has looked at it.

        The next step evaluates it anew where f is another draw.
        """
        used = problem.draw == 0 or self._improving
        return used and not (self._blind or problem.vouches)

    def _without_step(
        self, point: Point, predicted: float, report: StepReport, *, anew: bool
    ) -> None:
        """Nothing is there to be judged; where walks have ended higher, the ball was too large.

        Solvers that judge their own steps end no higher, but for round-off, and have radii of their
        own to shrink. On new samples (``anew``) the same ball may do. A promise of nan is a
        rejected trial: the curvature of the recombination's model is not finite.
        """
        first = self.parts.first_radius
        noise = self.parts.iterations * ROUND_OFF * point.epsilon * abs(point.value)
        broken = math.isnan(predicted)
        report.non_finite += broken
        if broken:
            self._follow(unusable(self.radius, 0.0, first=first), report)
        elif predicted < -noise and not anew:
            self._follow(unusable(self.radius, predicted, -predicted, first=first), report)
        report.radius = self.radius

    def _follow(self, trial: Trial, report: StepReport) -> None:
        """The next radius."""
        rule = self.parts.radius
        report.trials.append(trial)
        with contract.blamed(rule, "update()"):
            found = rule.update(trial)
        self.radius = contract.radius(rule, found, self.radius)

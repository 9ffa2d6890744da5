"""Acceptance: whether a trial point becomes the next iterate.

Legend: ρ = (f_ref − f(θ + s)) / pred, the actual over the predicted decrease.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from ddopt.setup.component import Component, Settings

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem

ROUND_OFF = 10.0  # units in the last place of a loss; see Acceptance.judge


@dataclass(frozen=True)
class Verdict:
    """The judgement on one trial: the ratio ρ, and whether the step is taken."""

    accepted: bool
    ratio: float
    refuted: bool = False  # taken by the samples of the problem, rejected by independent ones
    non_finite: bool = False  # rejected since f or its gradient is not finite there


BROKEN = Verdict(accepted=False, ratio=-math.inf, non_finite=True)


class Acceptance(Component):
    """A policy that compares the decrease that came with the decrease that was promised.

    The policy owns what it remembers of earlier values; a subclass writes ``ratio`` and, if it has
    a memory, ``remember``.
    """

    seam = "acceptance"
    epsilon = 2.0**-52  # unit round-off of the losses that are compared
    by_value = False  # whether nobody will ask for the gradient of a trial that is taken

    class Config(Settings):
        """Options of every policy."""

        threshold: float = Field(
            1e-4, ge=0.0, lt=1.0, description="accept a step whose ratio is at least this (η1)"
        )

    def consider(
        self, problem: Problem, point: Point, trial: Point, predicted: float, radius: float
    ) -> Verdict:
        """Judge a trial in a ball of ``radius``; a policy that needs more than values overrides.

        The round-off is that of the two losses. A trial that would be taken must have a finite
        gradient too, for no step leads away from it otherwise.
        """
        self.epsilon = max(point.epsilon, trial.epsilon)
        before = self.state_dict()
        verdict = self.judge(point.value, trial.value, predicted)
        if verdict.accepted and not self.by_value and not trial.sound(problem.geometry):
            self.load_state_dict(before)
            return BROKEN
        return verdict

    def judge(self, value: float, trial: float, predicted: float) -> Verdict:
        """Judge the trial value f(θ + s) against f(θ) = ``value`` and pred = ``predicted``.

        A trial that is not finite is rejected with ratio −inf. Where both the change and the
        prediction are lost in the round-off of f, their quotient is noise and the model is trusted:
        ρ = 1 (Conn, Gould and Toint, Trust-Region Methods, section 17.4.2).
        """
        if not math.isfinite(trial):
            return BROKEN
        noise = ROUND_OFF * self.epsilon * max(abs(value), abs(trial))
        if not predicted > 0.0:  # nor NaN
            return Verdict(accepted=False, ratio=0.0)
        if abs(value - trial) <= noise and predicted <= noise:
            ratio = 1.0
        else:
            ratio = self.ratio(value, trial, predicted)
        accepted = ratio >= self.config.threshold
        if accepted:
            self.remember(value, trial, predicted)
        return Verdict(accepted, ratio)

    @abstractmethod
    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """ρ for a finite trial and a positive prediction."""

    def remember(self, value: float, trial: float, predicted: float) -> None:
        """Take note of an accepted trial."""

    def reset(self) -> None:
        """Forget earlier values: they are of another function."""
        self.load_state_dict(type(self)(self.config).state_dict())

"""Where a step starts: f there, evaluated anew only where something may have changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddopt.evaluation.probe import look_again
from ddopt.evaluation.witness import Witness
from ddopt.optim.changes import SELDOM, Changes
from ddopt.optim.idleness import Idleness

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.executor.replicas import Replicas
    from ddopt.method.engine import Engine
    from ddopt.method.parts import StepReport


@dataclass(frozen=True)
class News:
    """What is said of f, before it is evaluated where a step starts."""

    anew: bool  # it is another function than in the last step
    look: bool  # it may be: compare the values
    silent: bool  # nobody would say so: look now and then, and where something asks for it


class Start:
    """What is known of f from one step to the next, and what its evaluations have cost.

    The engine keeps the point at which the last step ended. It is where this one starts, unless
    the parameters have been moved since, or f is another function now; of a closure nobody says so.
    """

    def __init__(self, stochastic: bool | None) -> None:
        self.changes, self.idle, self.witness = Changes(stochastic), Idleness(), Witness()
        self.evaluations = 0.0  # of f until now, in full gradients
        self._asked = False  # whether f is the same at a second call

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: an array that was copied is not the one that a closure holds."""
        return {**self.__dict__, "witness": Witness()}

    def evaluate(
        self, problem: Problem, engine: Engine, replicas: Replicas, steps: int, news: News
    ) -> None:
        """Evaluate where the step begins, unless the last step, the one before ``steps``, has.

        Raises ``ValueError`` where f or its gradient is not finite there.
        """
        before = engine.point
        theta = replicas.parameters.read(None if before is None else before.theta)
        moved = before is None or theta is not before.theta
        size = len(problem.samples) if problem.samples is not None else 0
        moved, look = replicas.any(
            moved, news.look, steps=steps, evaluations=self.evaluations, samples=size
        )
        if moved or news.anew:
            self.idle.over()
        compare = not (moved or news.anew)
        due = news.silent and self._due(steps)
        if compare and not look and not due:
            return
        self.evaluations += engine.start(problem, theta)
        assert engine.point is not None
        if not engine.begins(problem):
            value = engine.point.value
            engine.point = before  # nothing is known of this one that a later step could use
            if compare and self.changes.lost():
                return
            raise ValueError(
                f"the loss, or its gradient, is not finite where this step begins ({value}); a "
                "trust region can only start where both are: look at the parameters and the data"
            )
        if moved or before is None:
            return
        if news.anew:
            self.changes.evaluated_anew()
            return
        self._compare(problem, engine, before, look)

    def _compare(self, problem: Problem, engine: Engine, before: Point, look: bool) -> None:
        """Is f the function that it was ``before``, when the last step ended?"""
        assert engine.point is not None
        now, stochastic = engine.point, self.changes.stochastic
        unknown = stochastic is None and not self.changes.lately
        if self.changes.compared(before.value, now.value, now.epsilon):
            engine.point = before  # its bits may depend on who evaluated it
            if look:
                self.witness.false_alarm()
            return
        self.idle.over()
        if unknown and not self._asked:
            self._asked = True
            self.evaluations += look_again(problem, now.theta, now.value)
        if not self.changes.stochastic:  # mini-batches are what acceptance windows are for
            engine.renew()

    def stepped(
        self, report: StepReport, engine: Engine, before: Point, steps: int, news: News
    ) -> None:
        """Take note of the step that has been taken from ``before``, the one with that number."""
        watched = news.silent and self.changes.stochastic is None and not news.anew
        seen = watched and steps < SELDOM and not engine.blind
        self.changes.stepped(report.step_norm, *((before, engine.point) if seen else ()))
        if not (news.anew or self.changes.stochastic):  # of one batch; it holds of no other
            self.idle.stepped(report, engine.current_radius)

    def state_dict(self) -> dict[str, Any]:
        """What has been found out and counted."""
        counted = {"evaluations": self.evaluations, "idle": self.idle.state_dict()}
        return {**self.changes.state_dict(), **counted}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.changes.load_state_dict(state)
        self.idle.load_state_dict(state["idle"])
        self.evaluations = state["evaluations"]

    def _due(self, steps: int) -> bool:
        """Whether to see if f is still the same function."""
        if self.idle.long:
            return self.changes.stochastic is not False and self.idle.due
        return self.changes.due(steps)

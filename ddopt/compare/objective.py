"""The function that a baseline minimises: it counts, records, and ends when the budget is spent."""

from __future__ import annotations

import math
from collections import deque
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.meter import RESIDUALS, ROW
from ddopt.task import Status, figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.sampling import Sampling
    from ddopt.setup.config import Stop
    from ddopt.task import Task

LIMITS = ("evaluations", "seconds", "processor_seconds")  # the budgets that runs are compared at
REMEMBERED = 32  # points whose value is known: what one line search may visit


class Spent(Exception):  # noqa: N818 - it is how a baseline ends, no error
    """Nothing more may be evaluated; the message is the reason."""


class Objective:
    """f of a task, with the budget of a ``Stop``.

    ``at`` and ``loss`` evaluate, ``iterate`` says which point a baseline would hand out now; only
    those are recorded and measured. Measuring is not counted, but takes time, as in a run. Each
    step of a baseline ends with ``iterate``, or with ``skip`` where it has nothing to hand out.
    """

    def __init__(
        self,
        task: Task,
        sampling: Sampling | None,
        stop: Stop,
        every: float,
        show: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self.task, self.stop, self._show = task, stop, show
        self.start = task.initial
        self.lines: list[dict[str, Any]] = []
        self._sampling, self._every = sampling, every
        self._spent, self._iterations, self._measured = 0.0, 0, -math.inf
        self._latest = task.initial
        self._known: deque[Point] = deque(maxlen=REMEMBERED)
        self._problem = self._sampled()
        self._began, self._clock = perf_counter(), process_time()

    def at(self, theta: torch.Tensor, *, known: bool = False) -> tuple[float, torch.Tensor]:
        """f(θ) and ∇f(θ), shape (n,).

        With ``known`` a point that was just visited costs nothing; only for a baseline that ends by
        itself where it does not move, for nothing is ever spent there.
        """
        for point in self._known if known else ():
            if torch.equal(point.theta, theta):
                return point.value, point.gradient
        self.count(self._problem.cost)
        point = self._problem.both(theta.detach().clone())
        found = point.value, point.gradient  # the gradient is computed here
        self._known.append(point)
        return found

    def loss(self, theta: torch.Tensor) -> torch.Tensor:
        """f(θ) as a 0-d tensor with a graph, where the problem can give one."""
        expression = getattr(self._problem, "loss", None)
        if expression is None:
            raise ValueError(
                f"{type(self._problem).__name__} has no 'loss' that can be differentiated twice; "
                "compare with another baseline"
            )
        self.count(self._problem.cost)
        found: torch.Tensor = expression(theta)
        return found

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,), where f = ‖r‖²; raises ``ValueError`` where f has none."""
        self.count(RESIDUALS * self._problem.cost)
        return self._problem.residuals(theta.detach()).detach()

    def jacobian(self, theta: torch.Tensor) -> torch.Tensor:
        """∂r/∂θ, shape (m, n); at the price of :class:`ddopt.evaluation.meter.Metered`."""
        found = self._problem.jacobian(theta.detach())
        price = self._problem.jacobian_price
        self.count(self._problem.cost * (ROW * len(found) if price is None else price))
        return found

    @property
    def share(self) -> float:
        """How much of the budget is spent, from 0 to 1: for learning rates that follow it."""
        spent = {
            "evaluations": self._spent,
            "seconds": perf_counter() - self._began,
            "processor_seconds": self._worked(),
        }
        limits = {key: getattr(self.stop, key) for key in LIMITS}
        found = [spent[key] / limit for key, limit in limits.items() if limit is not None]
        return min(1.0, max(found, default=0.0))

    def count(self, evaluations: float) -> None:
        """Pay for something; raises ``Spent`` if that is too much. The first evaluation is not."""
        stop = self.stop
        if not self._spent:
            self._spent = evaluations
            return
        if stop.evaluations is not None and self._spent + evaluations > stop.evaluations + 1e-9:
            raise Spent("evaluations")
        if stop.seconds is not None and perf_counter() - self._began >= stop.seconds:
            raise Spent("seconds")
        if stop.processor_seconds is not None and self._worked() >= stop.processor_seconds:
            raise Spent("processor_seconds")
        self._spent += evaluations

    @property
    def due(self) -> bool:
        """Whether the next iterate is measured."""
        return self._spent - self._measured >= self._every

    def look(self, theta: torch.Tensor) -> float:
        """f(θ) for the record alone: a measurement, which is not counted and decides nothing."""
        return self._problem.at(theta.detach().clone()).value

    def iterate(self, theta: torch.Tensor, value: float) -> bool:
        """Record an iterate and f there; True if f is another function from now on."""
        self._latest = theta.detach().clone()
        line = self._line(value)
        if self.due:
            self._measured = self._spent
            line |= figures(self.task, self._latest)
        self.lines.append(line)
        self._show(line)
        if not math.isfinite(value):
            raise Spent("non_finite")
        return self.skip(value)

    def skip(self, value: float) -> bool:
        """Go on without an iterate, of a step at whose point f was ``value``; as ``iterate``."""
        self._iterations += 1
        cost = self.task.renew(self._latest, Status(self._spent, value))
        draw = self._problem.draw
        self._problem = self._sampled()
        changed = cost is not None or draw != self._problem.draw
        if cost is not None:
            self.count(cost)
        if changed:
            self._known.clear()
        return cost is not None

    def finish(self) -> None:
        """Measure the last iterate."""
        if self.lines:
            self.lines[-1] |= figures(self.task, self._latest)

    def _line(self, value: float) -> dict[str, Any]:
        return {
            "iteration": self._iterations,
            "loss": value,
            "evaluations": self._spent,
            "evaluations_total": self._spent,
            "seconds": round(perf_counter() - self._began, 4),
            "processor_seconds": round(self._worked(), 4),
        }

    def _worked(self) -> float:
        """Processor seconds since the start, of this process."""
        return process_time() - self._clock

    def _sampled(self) -> Problem:
        whole = self.task.problem
        return whole if self._sampling is None else self._sampling.problem(whole, self._iterations)

"""Nonlinear least squares: a quasi-Newton method until Gauss-Newton gains more for its price.

Far from a solution a Gauss-Newton step gains little more than a quasi-Newton step and costs a
Jacobian and its factorisation; near one it gains several digits. So both are tried, and the one
that gains more per unit of work goes on: a hybrid method in the sense of Fletcher and Xu (Hybrid
methods for nonlinear least squares, IMA J. Numer. Anal. 7 (1987) 371), who switch by the relative
decrease of f alone.

Work is counted and never timed (``ddopt.solver.work``), so a run can be repeated bit for bit.
Legend: the gain of an iteration is log(f before / f after), its rate the gain per unit of work.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.question import Both, Residuals
from ddopt.setup.component import Chosen, Settings
from ddopt.solver.region import REACHED
from ddopt.solver.solver import Answer, Solver
from ddopt.solver.work import Account, factorisation, matrix_update

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.point import Point
    from ddopt.evaluation.problem import Problem
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.vectors import Geometry

FIRST = 40.0  # work before Gauss-Newton is tried for the first time
SHARE = 5.0  # work between two trials, in multiples of what the last one took
TRIED = 2  # Gauss-Newton iterations before they are judged: the damping has to be found
JUDGED = 5  # of which the rate is then taken
LATER = 1.5  # what the wait for the next trial is multiplied by where one fails
MARGIN = 1.5  # of the other's rate, that it must have: the other one learns from every step
PROVED = math.log(1e3)  # what Gauss-Newton has to gain in one turn to stay for good
ALL = 1.0 - 2.0**-52  # of f, the most that an iteration can gain


class LeastSquares(Solver):
    """Quasi-Newton first, Gauss-Newton from where it gains more for its price.

    For problems that give their residuals, f = ‖r‖². Each method is at work as long as its rate,
    over its last iterations, is at least the rate that the other one had when it was last at work.
    A trial of Gauss-Newton takes two iterations or more. The first one comes after ``FIRST`` units
    of work, and each next one after half as long again, or ``SHARE`` times the work of the last, or
    where the quasi-Newton method has become slower than Gauss-Newton was. What either has learned
    it keeps for its next turn. Where Gauss-Newton has divided f by a thousand in one turn it stays:
    later on both are slower, and the rate that the other one had earlier says nothing any more.
    """

    name = "least_squares"
    least_squares = True

    class Config(Settings):
        """The two methods."""

        quasi_newton: Annotated[Settings, Chosen("solver")] = Field(
            "trust_region", validate_default=True, description="the solver that comes first"
        )
        gauss_newton: Annotated[Settings, Chosen("solver")] = Field(
            "levenberg_marquardt", validate_default=True, description="the one that takes over"
        )

        @model_validator(mode="after")
        def _judged(self) -> LeastSquares.Config:
            """Both look at f as a whole: raise ``ValueError`` for a walk on micro-batches."""
            for settings in (self.quasi_newton, self.gauss_newton):
                if getattr(settings.component, "stochastic", False):
                    raise ValueError(
                        f"solver {settings.component.name!r} walks on micro-batches and never "
                        "looks at f, by whose decrease 'least_squares' chooses; give it another one"
                    )
            return self

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.quasi_newton: Any = self.config.quasi_newton.build()
        self.gauss_newton: Any = self.config.gauss_newton.build()
        self._meter = Meter()  # of this solver alone
        self._rows = 0  # m; 0 where it is not known
        self._account = Account()  # of the method that is at work, since it took over
        self._wait = FIRST  # work of the quasi-Newton method until the next trial
        self._bar: float | None = None  # its rate, while Gauss-Newton is at work
        self._seen = 0.0  # the rate of Gauss-Newton in its last trial

    @property
    def radius(self) -> float | None:
        """The trust region's, while it is at work."""
        return None if self._linearises else self.quasi_newton.radius

    @property
    def _linearises(self) -> bool:
        """Whether Gauss-Newton is at work."""
        return self._bar is not None

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Iterate from ``start``, each iteration by the method whose turn it is."""
        problem, point, room = Metered(problem, self._meter), start, ball
        if self._rows == 0:
            self._rows = len((yield Residuals(problem, start.theta)))
        answers: list[Answer] = []
        for _ in range(iterations):
            found = yield from self._iterate(problem, point, room)
            answers.append(found)
            point = found.end
            if not (found.accepted or found.rejected):
                break  # nothing is left to gain
            if math.isfinite(ball):
                room = ball - problem.geometry.norm(point.theta - start.theta)
                if room <= REACHED * ball:
                    break
        return _joined(answers, start, point)

    def _iterate(self, problem: Problem, point: Point, room: float) -> Asking[Answer]:
        """One iteration; where the quasi-Newton method finds nothing to gain, by the other."""
        linearised = self._linearises
        self._change_over(self._account.spent >= self._wait)
        if linearised and not self._linearises:
            point = yield Both(problem, point.theta)  # its gradient has not been asked for
        found = yield from self._by_turn(problem, point, room)
        if self._linearises or found.accepted or found.rejected:
            return found
        self._change_over(True)
        return (yield from self._by_turn(problem, point, room))

    def _change_over(self, due: bool) -> None:
        """Let Gauss-Newton begin where it is due, and end where it is behind."""
        account = self._account
        if self._bar is None:
            behind = account.full and account.rate < self._seen
            if due or behind:
                self._bar, self._account = account.rate, Account(JUDGED)
        elif account.gained >= PROVED:
            self._bar = 0.0
        elif len(account) >= TRIED and account.rate < MARGIN * self._bar:
            self._wait = max(LATER * self._wait, SHARE * account.spent)
            self._seen = account.rate
            self._bar, self._account = None, Account()

    def _by_turn(self, problem: Problem, point: Point, room: float) -> Asking[Answer]:
        """One iteration of the method whose turn it is, entered into its account."""
        before, n = self._meter.work, len(point.theta)
        if self._linearises:
            method, algebra = self.gauss_newton, factorisation(self._rows, n)
        else:
            method, algebra = self.quasi_newton, matrix_update(self._rows, n)
        answer: Answer = yield from method.iterate(problem, point, room, 1)
        gained = min(answer.decrease / abs(point.value), ALL) if point.value else 0.0
        work = (self._meter.work - before) / problem.cost + algebra
        self._account.enter(-math.log1p(-gained), work)
        return answer

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the curvature memory."""
        self.quasi_newton.prepare(like)
        self.gauss_newton.prepare(like)

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``."""
        self.quasi_newton.measure(geometry)
        self.gauss_newton.measure(geometry)

    def learn(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Give a secant pair to the quasi-Newton matrix."""
        self.quasi_newton.learn(s, y)

    def resize(self, radius: float) -> None:
        """Begin the next call with this radius."""
        self.quasi_newton.resize(radius)

    def leave(self) -> None:
        """Let go of what was made at the last point."""
        self.quasi_newton.leave()
        self.gauss_newton.leave()

    def reset(self) -> None:
        """Forget the curvature, and whose turn it is: the problem is another."""
        self.quasi_newton.reset()
        self.gauss_newton.reset()
        self._account, self._wait, self._bar = Account(), FIRST, None
        self._rows, self._seen = 0, 0.0

    def renew(self) -> None:
        """Forget earlier values; the residuals may be more than before."""
        self.quasi_newton.renew()
        self.gauss_newton.renew()
        self._rows = 0

    def state_dict(self) -> dict[str, Any]:
        """Both methods, and whose turn it is."""
        own = {
            "rows": self._rows,
            "account": self._account.state_dict(),
            "wait": self._wait,
            "bar": self._bar,
            "seen": self._seen,
        }
        return {**own, **super().state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._rows, self._wait = int(state["rows"]), float(state["wait"])
        self._bar, self._seen = state["bar"], float(state["seen"])
        self._account.load_state_dict(state["account"])
        super().load_state_dict(state)


def _joined(answers: list[Answer], start: Point, end: Point) -> Answer:
    """What several iterations did together."""
    return Answer(
        step=end.theta - start.theta,
        decrease=math.fsum(one.decrease for one in answers),
        end=end,
        accepted=sum(one.accepted for one in answers),
        rejected=sum(one.rejected for one in answers),
        ratio=answers[-1].ratio if answers else None,
        refuted=sum(one.refuted for one in answers),
        non_finite=sum(one.non_finite for one in answers),
    )

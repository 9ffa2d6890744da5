"""Solvers: what moves the parameters of one problem, be it a subdomain's or the whole."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddopt.evaluation.question import answered
from ddopt.setup.component import Component

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.evaluation.question import Asking
    from ddopt.numerics.reading import Number
    from ddopt.numerics.vectors import Geometry


@dataclass(frozen=True)
class Answer:
    """What a solver did from its start: the step, and what it brought.

    ``decrease`` is f(start) − f(end), which is the prediction that the global ratio tests.
    """

    step: torch.Tensor  # shape: (n_d,)
    decrease: float
    end: Point
    accepted: int = 0  # iterations whose step was taken
    rejected: int = 0
    ratio: float | None = None  # of the last iteration, where there is one
    refuted: int = 0  # steps that independent samples have rejected
    non_finite: int = 0  # rejected since f, a derivative of it, or the model was not finite
    # None or one number; ``replace`` begins an empty list, as the step may be another
    _lengths: list[Number] = field(default_factory=list, init=False, repr=False, compare=False)

    def measured(self, length: Number) -> Answer:
        """This answer, whose step has that length in the 2-norm."""
        self._lengths[:] = [length]
        return self

    @property
    def length(self) -> Number | None:
        """‖step‖_2, where it is on its way."""
        return self._lengths[0] if self._lengths else None


class Solver(Component):
    """Improves a point of a problem, never leaving a ball around it.

    A subclass writes ``iterate``, a generator: it asks (``point = yield Both(problem, theta)``, see
    :mod:`ddopt.evaluation.question`), is told, and returns its ``Answer``. One object belongs to
    one subdomain (or to the global pass); its memory is its state and lives as long as the run.
    """

    seam = "solver"
    least_squares: bool = False  # works on residuals
    stochastic: bool = False  # walks on micro-batches, and never looks at f as a whole

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse ``solve``, which no executor calls, with a ``TypeError``."""
        super().__init_subclass__(**kwargs)
        if "solve" in cls.__dict__:
            raise TypeError(
                f"{cls.__qualname__} defines solve(); a solver asks and does not evaluate: write "
                "iterate() with the same arguments, a generator that yields questions"
            )

    @abstractmethod
    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Run at most ``iterations`` iterations on ``problem`` from ``start``, as a generator.

        It may read ``problem`` (layout, geometry, samples) and cut it (``part``), and asks for
        whatever must be evaluated. The accumulated step stays within ``ball`` in the 2-norm; a
        solver stops when it gets there.
        """

    def solve(self, problem: Problem, start: Point, ball: float, iterations: int) -> Answer:
        """The answer of ``iterate``, its questions answered here; for tests and scripts."""
        return answered(self.iterate(problem, start, ball, iterations))

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the memory for vectors like ``like`` (n_d,) ahead of the first iteration."""

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``: vectors may lie in pieces on several processes."""

    def resize(self, radius: float) -> None:
        """Begin the next call with this radius, where there is one: whoever calls has its own."""

    def learn(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Take in a secant pair that somebody else paid for."""

    def judged(self, accepted: bool) -> None:
        """Learn whether the recombined step, of which the last answer was a part, was taken."""

    def leave(self) -> None:
        """Let go of what was made at the last point: the next start is none of this one's points.

        Called after each local solve, whose start is made anew; θ and f may be the same.
        """

    def reset(self) -> None:
        """Forget the curvature and the radius: the problem has changed."""

    def renew(self) -> None:
        """Forget earlier values of f, and keep the curvature: f has changed a little."""

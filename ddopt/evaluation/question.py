"""Questions: what a solver asks about a problem, and who is told the answer.

A solver never evaluates. It is a generator that *asks*: ``point = yield Both(problem, theta)``. The
executor answers, and sends the answer back in; the generator returns what it has found. So one
driver evaluates for all subdomains of a process, one after the other or all at once, and a solver
can be tested by hand, told whatever a test likes. (Ask and tell: the word of black-box
optimisation.)

Legend: θ (n,) parameters, r residuals (m,), J = ∂r/∂θ.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.jacobian import Gramian, Operator
    from ddopt.evaluation.problem import Point, Problem

T = TypeVar("T")


@dataclass(frozen=True)
class Question(ABC):
    """Something about a problem that must be evaluated to be known.

    The problem that the engine hands out charges what is evaluated, so that an answer is paid for
    whoever gives it.
    """

    problem: Problem

    @abstractmethod
    def answer(self) -> Any:
        """Evaluate, here and now; called by executors."""


Asking = Generator[Question, Any, T]  # asks, is told, and returns a T


@dataclass(frozen=True)
class Value(Question):
    """f(θ): a :class:`Point` whose gradient may be asked for later."""

    theta: torch.Tensor

    def answer(self) -> Point:
        """``Problem.at``."""
        return self.problem.at(self.theta)


@dataclass(frozen=True)
class Both(Value):
    """f(θ) and ∇f(θ): the same point, where the gradient will surely be wanted."""

    def answer(self) -> Point:
        """``Problem.both``."""
        return self.problem.both(self.theta)


@dataclass(frozen=True)
class Residuals(Question):
    """r(θ), shape (m,), detached."""

    theta: torch.Tensor

    def answer(self) -> torch.Tensor:
        """``Problem.residuals``."""
        return self.problem.residuals(self.theta).detach()


@dataclass(frozen=True)
class Linearised(Question):
    """J at θ as a linear map with a Gram matrix, of ``dtype`` where one is given."""

    theta: torch.Tensor
    dtype: torch.dtype | None = None

    def answer(self) -> Gramian:
        """``Problem.linearised``."""
        return self.problem.linearised(self.theta, self.dtype)


@dataclass(frozen=True)
class Differential(Question):
    """v ↦ J v and w ↦ Jᵀw at θ; each product is charged when it is made."""

    theta: torch.Tensor

    def answer(self) -> tuple[Operator, Operator]:
        """``Problem.differential``."""
        return self.problem.differential(self.theta)


@dataclass(frozen=True)
class Curvature(Question):
    """v ↦ ∇²f(θ) v; each product is charged when it is made."""

    theta: torch.Tensor

    def answer(self) -> Operator:
        """``Problem.curvature``."""
        return self.problem.curvature(self.theta)


@dataclass(frozen=True)
class Work(Question):
    """Whatever else evaluates: ``function(problem)``.

    A step that a model of curvature proposes is one: the model may ask for residuals and products
    as it is made and minimised. A generator would have to go through every Hessian approximation
    and every subproblem solver for it; no executor could do more with the pieces.
    """

    function: Callable[[Problem], Any]

    def answer(self) -> Any:
        """Call the function."""
        return self.function(self.problem)


def asked(question: Question) -> Asking[Any]:
    """The asking of one question: what it returns is the answer."""
    return (yield question)


def answered(
    asking: Asking[T],
    tell: Callable[[Any], Any] = methodcaller("answer"),
    question: Question | None = None,
) -> T:
    """What ``asking`` returns, each question answered when it is asked.

    Args:
        asking: not begun, or waiting for the answer to ``question``.
        tell: gives the answer to a question; a test may tell what it likes.
        question: the one that is open.
    """
    told = None if question is None else tell(question)
    while True:
        try:
            question = asking.send(told)
        except StopIteration as end:
            return end.value
        told = tell(question)

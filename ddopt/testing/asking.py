"""Whether a solver asks: a problem that can be evaluated only while a question is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddopt.evaluation.derived import Derived
from ddopt.evaluation.question import Question
from ddopt.method.blame import described

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.jacobian import Gramian
    from ddopt.evaluation.problem import Kind, Point, Problem

ENDLESS = 2_000  # questions in one call of a few iterations


class Gate:
    """Open while a question is answered."""

    def __init__(self) -> None:
        self.open, self.asked = False, 0

    def tell(self, question: Any) -> Any:
        """The answer; raises ``AssertionError`` for what is no question."""
        assert isinstance(question, Question), (
            "iterate() must yield questions (ddopt.evaluation.question), such as "
            f"Both(problem, theta), and not {described(question)}"
        )
        self.asked += 1
        assert self.asked <= ENDLESS, (
            f"iterate() has asked {ENDLESS:,} questions in one call, and goes on: it must return "
            "after so many iterations as it is given"
        )
        self.open = True
        told = question.answer()
        self.open = False
        return told


class Gated(Derived):
    """The same problem behind a gate: whoever evaluates it by himself is told to ask."""

    def __init__(self, problem: Problem, gate: Gate) -> None:
        super().__init__(problem)
        self.gate = gate

    def _around(self, problem: Problem) -> Gated:
        return Gated(problem, self.gate)

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        return point

    def _theirs(self, theta: torch.Tensor) -> torch.Tensor:
        assert self.gate.open, (
            "iterate() evaluates the problem by itself; a solver asks, and whoever carries it out "
            "evaluates: point = yield Both(problem, theta)"
        )
        return theta

    def ability(self, kind: type[Kind]) -> Kind | None:
        """The other's."""
        return self.problem.ability(kind)

    def linearised(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> Gramian:
        """The other's."""
        return self.problem.linearised(self._theirs(theta), dtype)

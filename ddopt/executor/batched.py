"""One process that evaluates for all of its subdomains at once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeVar

from ddopt.evaluation.question import Value, answered
from ddopt.evaluation.together import Opened, agree, evaluated
from ddopt.executor.serial import Serial
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from ddopt.evaluation.question import Asking

T = TypeVar("T")


class Batched(Serial):
    """Answers the values and gradients that subdomains ask for in one call for all of them.

    For many small subdomains on one core, or on one GPU. The numbers are those of ``serial`` up to
    round-off, since sums are made in another order. What is no such question (curvature, residuals)
    is answered one by one, as is everything of a loss that cannot be batched: a closure, samples in
    chunks, operations for which torch.func.vmap has no rule. A warning says so once.
    """

    name = "batched"

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._known: dict[Hashable, bool] = {}  # whether losses of a kind can be batched

    def carry_out(self, askings: dict[int, Asking[T]]) -> dict[int, T]:
        """Let all of them ask, answer, and again, until each has returned."""
        done: dict[int, T] = {}
        waiting: dict[int, Value] = {}

        def advance(d: int, told: Any) -> None:
            """Until ``askings[d]`` asks for a value, or returns."""
            while True:
                try:
                    question = askings[d].send(told)
                except StopIteration as end:
                    done[d] = end.value
                    return
                if isinstance(question, Value):
                    waiting[d] = question
                    return
                told = question.answer()

        for d in askings:
            advance(d, None)
        while waiting:
            asked, waiting = waiting, {}
            points = self._told(asked)
            for d, question in asked.items():
                if d in points:
                    advance(d, points[d])
                else:  # to its end: its evaluations may not be mixed with those of others
                    done[d] = answered(askings[d], question=question)
        return {d: done[d] for d in askings}

    def _told(self, asked: dict[int, Value]) -> dict[int, Any]:
        """The points of the questions that can be answered together."""
        opened = {d: Opened(q.problem, q.theta) for d, q in asked.items()}
        if len(opened) > 1:
            for one in opened.values():
                self._warn_of(one.refusal)
        fitting = {d: one for d, one in opened.items() if not one.refusal}
        leaves = [leaf for one in fitting.values() for leaf in one.leaves]
        whose = [d for d, one in fitting.items() for _ in one.leaves]
        if not leaves:
            return {}
        loss = leaves[0][0].origin
        if not self._known.get(loss, True):
            return {}
        try:
            found, batched = evaluated(leaves)
            points = iter(found)
            told = {d: one.point(points) for d, one in fitting.items()}
            if batched and loss not in self._known:
                first = whose[batched[0]]
                self._known[loss] = agree(asked[first].answer(), told[first])
        except (RuntimeError, ValueError) as error:  # an error of the loss itself comes once more
            self._known[loss] = False
            self._warn_of(f"torch cannot batch its loss ({str(error).splitlines()[0]})")
            return {}
        if not self._known.get(loss, True):
            self._warn_of("its loss has other values where several are evaluated at once")
            return {}
        return told

    def _warn_of(self, refusal: str) -> None:
        if refusal and refusal not in self._known:
            self._known[refusal] = False
            warn(f"executor 'batched' evaluates the subdomains one after the other: {refusal}")

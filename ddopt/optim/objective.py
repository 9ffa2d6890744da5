"""What an optimizer minimises: f by the closure of each step, or by a source of problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ddopt.evaluation.batch import Closure
from ddopt.evaluation.closure import ClosureProblem
from ddopt.evaluation.problem import Problem
from ddopt.evaluation.residual_closure import ResidualProblem, Way
from ddopt.evaluation.stillness import Stillness
from ddopt.executor import Split, shared
from ddopt.numerics.space import Parameters

if TYPE_CHECKING:
    from ddopt.executor.replicas import Replicas
    from ddopt.method.engine import Engine

Source = Callable[[Parameters], Problem]


class Objective:
    """Makes the problem of a step, in the shares in which the method evaluates it.

    By default that is the closure: its loss, or its residuals where a solver works on them. Where
    there is a ``source`` (``EngineOptimizer.minimise``), it is the problem that the source gives.
    """

    def __init__(self) -> None:
        self.source: Source | None = None
        self.made: Problem | None = None  # by the source, for the last step that has begun
        self._way = Way()  # how the Jacobian of closures that return residuals is computed

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: what was made for one closure, or of one module, stays behind."""
        return {"source": self.source, "made": None, "_way": Way()}

    def called(
        self, closure: Closure, batch: Any, still: Stillness, engine: Engine, replicas: Replicas
    ) -> Problem:
        """f as the closure gives it: by its residuals, where a solver works on them."""
        found: Problem
        if engine.parts.least_squares:
            closure = replicas.refused(closure)
            found = ResidualProblem(replicas.parameters, closure, still, batch, self._way)
        else:
            closure = replicas.averaged(closure)
            found = ClosureProblem(replicas.parameters, closure, still, batch)
        return shared(found, engine.shares, engine.executor)[0]

    def minimised(self, parameters: Parameters, engine: Engine) -> tuple[Problem, bool]:
        """The source's problem, and whether it is another one than in the last step.

        Of another one the engine compares no value with those of the last.
        """
        assert self.source is not None
        made = self.source(parameters)
        last = self.made.problem if isinstance(self.made, Split) else self.made
        if made is last and self.made is not None:
            return self.made, False
        if last is not None:
            engine.renew()
        problem, _ = shared(made, engine.shares, engine.executor)
        return problem, last is not None

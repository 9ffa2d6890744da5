"""The check of baselines: optimizers to compare with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ddopt.compare.objective import Objective, Spent
from ddopt.method.blame import described
from ddopt.setup.config import Stop
from ddopt.task import Setting
from ddopt.testing.conduct import bits, fresh, stir
from ddopt.testing.regression import Regression
from ddopt.testing.solver import Counted
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.compare.baseline import Baseline
    from ddopt.evaluation.problem import Problem
    from ddopt.task import Task


@told
def check_baseline(
    baseline: Baseline, *, budget: float = 400.0, ranks: bool = True, task: Task | None = None
) -> None:
    """It begins at the start, tells every iterate, keeps to its budget, and decreases f.

    ``budget`` is that of one run in evaluations. ``task`` is for a baseline that wants more of f
    than its gradient: by default :class:`ddopt.testing.regression.Regression`. ``ranks`` is taken
    for the sake of one signature: comparisons run in one process.
    """
    task = task or Regression()
    task.prepare(Setting())
    lines, start = _minimised(baseline, task, budget)
    require(
        len(lines) > 1,
        baseline,
        f"minimise() has told {len(lines)} iterates to f.iterate(θ, value) in {budget:g} "
        "evaluations; what is not told is not recorded",
    )
    first, best = lines[0]["loss"], min(line["loss"] for line in lines)
    require(
        first == start, baseline, f"the first iterate must be f.start, where f is {start:g}; it is "
        f"{first:g}"
    )  # fmt: skip
    require(
        math.isfinite(best) and best < first,
        baseline,
        f"in {budget:g} evaluations f has not fallen: {first:g} at the start, {best:g} at best",
    )
    again, _ = _minimised(baseline, task, budget)
    losses = [[line["loss"] for line in one] for one in (lines, again)]
    require(
        losses[0] == losses[1],
        baseline,
        "minimise() gives other iterates the second time: random numbers must follow from a seed",
    )
    if baseline.tuned:
        _check_rate(baseline, task, budget, losses[0])


def _check_rate(baseline: Baseline, task: Task, budget: float, losses: list[float]) -> None:
    """A comparison chooses the rate, which must make a difference."""
    options, given = type(baseline.config), baseline.config.model_dump()
    require("rate" in options.model_fields, baseline, "tuned = True needs an option 'rate'")
    halved = options.model_validate({**given, "rate": given["rate"] / 2})
    lines, _ = _minimised(type(baseline)(halved), task, budget)
    require(
        [line["loss"] for line in lines] != losses,
        baseline,
        "half the rate gives the same iterates: tuned = True says that it has a rate, and "
        "minimise() must use self.config.rate",
    )


class _Endless(BaseException):
    """It goes on after ``Spent``, which an author has caught; this he does not catch."""


class _Watched(Objective):
    """An objective that compares what it is told with what f is, and sees that it is obeyed."""

    wrong = ""
    refused = 0  # times that ``Spent`` was raised
    uncounted: Problem | None = None  # f below what counts the evaluations that nobody tells

    def at(self, theta: torch.Tensor, *, known: bool = False) -> tuple[float, torch.Tensor]:
        """Is it a vector like the start?"""
        like = self.start
        right = isinstance(theta, torch.Tensor) and theta.shape == like.shape
        if not right or theta.dtype != like.dtype:
            wanted = f"a tensor like f.start, of shape {tuple(like.shape)} and {like.dtype}"
            self.wrong = f"f.at(θ) takes {wanted}; it was given {described(theta)}"
            raise _Endless
        return super().at(theta, known=known)

    def count(self, evaluations: float) -> None:
        """Does it end when it is told that the budget is spent?"""
        try:
            super().count(evaluations)
        except Spent:
            self.refused += 1
            if self.refused > 1:
                self.wrong = "minimise() goes on after f has raised Spent; do not catch it"
                raise _Endless from None
            raise

    def iterate(self, theta: torch.Tensor, value: float) -> bool:
        """Is the value f(θ)?"""
        true = self._sampled().at(theta.detach()).value
        if not math.isclose(true, value, rel_tol=1e-6):
            self.wrong = f"f.iterate was told f(θ) = {value:g}, and it is {true:g}"
        return super().iterate(theta, value)

    def _sampled(self) -> Problem:
        return self.uncounted or super()._sampled()


def _minimised(baseline: Baseline, task: Task, budget: float) -> tuple[list[dict[str, Any]], float]:
    f = _Watched(task, None, Stop(evaluations=budget), every=10.0)
    begun, whole = bits(f.start), task.problem
    f.uncounted, counted = whole, Counted(whole)
    task.problem = counted
    stir(1)  # a comparison seeds them for each run
    try:
        reason = fresh(baseline).minimise(f)
        require(
            isinstance(reason, str) and bool(reason),
            baseline,
            f"where it ends by itself, minimise() must say why; it returned {reason!r}",
        )
    except (Spent, _Endless):
        pass
    finally:
        task.problem = whole
    require(not f.wrong, baseline, f.wrong)
    require(
        not counted.count,
        baseline,
        f"it has evaluated f {counted.count} times by f.task, for which nobody is charged: "
        "evaluate by f.at(θ)",
    )
    require(bits(f.start) == begun, baseline, "minimise() changed f.start in place; clone it")
    return f.lines, task.problem.at(task.initial).value

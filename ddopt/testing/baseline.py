"""The check of baselines: optimizers to compare with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from ddopt.compare.objective import Objective, Spent
from ddopt.setup.config import Stop
from ddopt.task import Setting
from ddopt.testing.conduct import bits, fresh, require, stir, told
from ddopt.testing.regression import Regression

if TYPE_CHECKING:
    from ddopt.compare.baseline import Baseline
    from ddopt.task import Task


@told
def check_baseline(baseline: Baseline, *, budget: float = 400.0, ranks: bool = True) -> None:
    """It begins at the start, tells every iterate, keeps to its budget, and decreases f.

    ``budget`` is that of one run in evaluations. ``ranks`` is taken for the sake of one signature:
    comparisons run in one process.
    """
    task = Regression()
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
        require("rate" in type(baseline.config).model_fields, baseline, "tuned = True needs an "
                "option 'rate'")  # fmt: skip


class _Watched(Objective):
    """An objective that compares what it is told with what f is."""

    wrong = ""

    def iterate(self, theta: torch.Tensor, value: float) -> bool:
        """Is the value f(θ)?"""
        true = self.task.problem.at(theta.detach()).value
        if not math.isclose(true, value, rel_tol=1e-6):
            self.wrong = f"f.iterate was told f(θ) = {value:g}, and it is {true:g}"
        return super().iterate(theta, value)


def _minimised(baseline: Baseline, task: Task, budget: float) -> tuple[list[dict[str, Any]], float]:
    f = _Watched(task, None, Stop(evaluations=budget), every=10.0)
    begun = bits(f.start)
    stir(1)  # a comparison seeds them for each run
    try:
        reason = fresh(baseline).minimise(f)
        require(
            isinstance(reason, str),
            baseline,
            f"where it ends by itself, minimise() must say why; it returned {reason!r}",
        )
    except Spent:
        pass
    require(not f.wrong, baseline, f.wrong)
    require(bits(f.start) == begun, baseline, "minimise() changed f.start in place; clone it")
    return f.lines, task.problem.at(task.initial).value

"""The check of problems: tasks, as a run file names them."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch

from ddopt.run import chance
from ddopt.task import Setting, prepare
from ddopt.testing.conduct import bits, fresh, on_two_processes, saved, untouched
from ddopt.testing.problem import check_gradient, check_shares, check_value, near
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.executor import Executor
    from ddopt.task import Task

SEED = 3


@told
def check_task(task: Task, *, ranks: bool = True) -> None:
    """A problem follows from its seed, is differentiated rightly, and is the sum of its shares."""
    prepare(task, Setting(seed=SEED))
    _check_kind(task)
    _check_finite(task)
    check_value(task, task.problem, task.initial)
    _check_seeded(task)
    check_gradient(task, task.problem, near(task.initial))
    if task.problem.samples is not None:
        check_shares(task, task.problem, task.initial)
    _check_draws(task)
    with untouched(task, "measure()", theta=task.initial):
        figures = task.measure(task.initial)
    require(isinstance(figures, dict), task, f"measure() must return a dict, not {figures!r}")
    for name, figure in figures.items():
        require(
            isinstance(figure, Real) and not isinstance(figure, bool),
            task,
            f"measure() must give numbers; {name} is {figure!r}: convert it by float()",
        )
    if ranks:
        _check_processes(task)
    _check_proceeding(task)


def _prepared(task: Task, dtype: torch.dtype = torch.float64, stirred: int = 0) -> Any:
    """Another task with the same options, after other global random numbers."""
    twin = fresh(task)
    chance.seed(stirred)
    prepare(twin, Setting(seed=SEED, dtype=dtype))
    return twin


def _check_finite(task: Task) -> None:
    """What a run begins with; nothing can be said of NaN."""
    theta = task.initial
    require(bool(theta.isfinite().all()), task, "self.initial has NaN or ∞")
    require(
        not theta.requires_grad,
        task,
        "self.initial must be a plain vector of numbers; detach() it from the module's parameters",
    )
    with untouched(task, "evaluating the loss"):
        value = task.problem.at(theta).value
    require(
        isinstance(value, float) and math.isfinite(value),
        task,
        f"the loss at self.initial must be a finite number; it is {value!r}",
    )


def _check_seeded(task: Task) -> None:
    """Whatever the global random numbers were, θ_0 and f follow from the seed."""
    one, other = _prepared(task, stirred=1), _prepared(task, stirred=2)
    cause = "; prepare() draws random numbers that do not follow from setting.seed: call "
    cause += "torch.manual_seed(setting.seed) first, or use a generator seeded by it"
    require(
        torch.equal(one.initial, other.initial),
        task,
        f"the same seed must give the same first parameters{cause}",
    )
    found = [
        bits(twin.problem.samples and list(twin.problem.samples.terms)) for twin in (one, other)
    ]
    require(found[0] == found[1], task, f"the same seed must give the same samples{cause}")
    values = [twin.problem.at(one.initial).value for twin in (one, other)]
    require(values[0] == values[1], task, f"the same seed must give the same loss{cause}")


def _check_kind(task: Task) -> None:
    """The dtype is the run's choice; a task may refuse float32, in words."""
    for dtype in (torch.float32, torch.float64):
        try:
            twin = _prepared(task, dtype)
        except ValueError as refusal:
            if dtype == torch.float32 and "dtype" in str(refusal):
                continue
            raise
        kinds = {"layout": twin.problem.layout, "initial": twin.initial}
        for what, kind in ((what, one.dtype) for what, one in kinds.items()):
            require(
                kind == dtype,
                task,
                f"setting.dtype is {dtype}, and {what} has {kind}: make parameters and data in "
                "setting.dtype on setting.device",
            )


def _check_draws(task: Task) -> None:
    """Random numbers of a draw follow from its number."""
    twin = _prepared(task, stirred=9)
    for number in (2, 0, 2):
        values = [one.problem.drawn(number).at(task.initial).value for one in (task, twin)]
        require(
            values[0] == values[1],
            task,
            f"the {number}-th draw must follow from the seed and its number alone: redraw(number)",
        )


def _check_processes(task: Task) -> None:
    """Two processes have one problem."""

    def outcome(executor: Executor) -> Any:
        twin = _prepared(task, stirred=executor.rank)
        point = twin.problem.at(twin.initial)
        return bits([twin.initial, point.value, point.gradient])

    found = on_two_processes(task, outcome, timeout=120.0)
    require(
        found[0] == found[1],
        task,
        "two processes have other first parameters or losses; prepare() must depend on options and "
        "setting alone, and on no rank, process id or time",
    )


def _check_proceeding(task: Task) -> None:
    """A sequence of problems is where it was, when it is restored."""
    fresh_twin = _prepared(task)
    fresh_twin.load_state_dict(saved(task.state_dict()))
    following = task.proceed(task.initial)
    if following is None:
        return
    value = task.problem.at(following).value
    twin = _prepared(task)
    twin.load_state_dict(saved(task.state_dict()))
    require(
        twin.problem.layout.size == len(following),
        task,
        "after proceed(), state_dict() must say which problem it is the turn of",
    )
    require(
        twin.problem.at(following).value == value,
        task,
        "load_state_dict() must set the problem that proceed() has set, and state_dict() hold all "
        "that it depends on",
    )

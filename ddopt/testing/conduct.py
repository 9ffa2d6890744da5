"""What every component must do, whatever its seam: the part that all checks of the kit share.

A component is run through a sequence of calls several times: as a new object with other global
random numbers, as one that is restored in the middle, and on two real processes. All of them must
give the same bits. What is told is the cause, not the symptom.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import traceback
from contextlib import contextmanager
from functools import wraps
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt.evaluation.problem import Problem
from ddopt.method.contract import called
from ddopt.numerics.vectors import fingerprint
from ddopt.run import chance
from ddopt.testing.ranks import RankFailedError, run_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ddopt.executor import Executor
    from ddopt.setup.component import Component

    Advance = Callable[[Any, int], Any]  # one call of a component: which, and the how-manieth

STEPS = 10  # calls of a sequence,
MIDDLE = (
    7  # which is resumed before this one: prime, so that what counts to a few has not come round
)


def told(check: Callable[..., None]) -> Callable[..., None]:
    """Let a check end in an ``AssertionError`` with one sentence, whatever the component raises."""

    @wraps(check)
    def checked(component: Any, *given: Any, **options: Any) -> None:
        __tracebackhide__ = True  # pytest shows the line that called the check, and the sentence
        before = chance.state()
        try:
            check(component, *given, **options)
        except AssertionError as error:
            cause = error.__cause__
            raise _outside(error, check) from (cause and _outside(cause, check))
        except Exception as error:
            text = str(error)
            if isinstance(error, ValueError) and who(component) in text:  # of the contract
                raise AssertionError(text) from None
            raise AssertionError(_raised(component, error)) from _outside(error, check)
        finally:
            chance.restore(before)

    return checked


def _outside(error: BaseException, check: Callable[..., None]) -> BaseException:
    """The error without its first frames, as far as they are the kit's or the check's module's."""
    frames = error.__traceback__
    while frames is not None and (
        frames.tb_frame.f_globals is check.__globals__
        or frames.tb_frame.f_globals.get("__package__") == __package__
    ):
        frames = frames.tb_next
    return error.with_traceback(frames)


def who(component: Any) -> str:
    """How messages call what is checked: a component, a problem, or a module of hooks."""
    seam = getattr(type(component), "seam", None)
    if isinstance(component, Problem):
        return f"problem {type(component).__name__!r}"
    return called(component) if seam else f"plugin {getattr(component, '__name__', component)!r}"


def _raised(component: Any, error: BaseException) -> str:
    """Where a component fell over; the innermost line that is not of ddopt or a library."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1])
    return (
        f"{who(component)}: it raised {type(error).__name__}: {error} "
        f"({place.filename}, line {place.lineno}, in {place.name})"
    )


def require(condition: bool, component: Any, sentence: str) -> None:
    """Raise ``AssertionError`` with the component's name before the sentence."""
    if not condition:
        raise AssertionError(f"{who(component)}: {sentence}")


def fresh(component: Any) -> Any:
    """A new object with the same options."""
    try:
        return type(component)(component.config)
    except TypeError as error:
        raise AssertionError(
            f"{who(component)}: it cannot be made from its options alone ({error}); __init__ takes "
            "(self, config=None, **options) and calls super().__init__(config, **options)"
        ) from None


def saved(state: Any) -> Any:
    """A state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        return torch.load(buffer, weights_only=True)
    except (pickle.PickleError, AttributeError, TypeError, RuntimeError) as error:
        raise AssertionError(
            f"a state must be made of tensors, numbers, strings, lists and dicts: {error}"
        ) from None


def bits(found: Any) -> Any:
    """What was returned, in a form that differs where a bit of it does."""
    if isinstance(found, torch.Tensor):
        return str(found.dtype), tuple(found.shape), fingerprint(found)
    if isinstance(found, np.ndarray):
        return str(found.dtype), found.shape, found.tobytes()
    if isinstance(found, dict):
        return {str(key): bits(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [bits(one) for one in found]
    return repr(float(found)) if isinstance(found, Real) else repr(found)


@contextmanager
def untouched(component: Any, method: str, **given: torch.Tensor) -> Iterator[None]:
    """A call that must leave what it is given, and the global random numbers, as they are."""
    before, random_state = bits(given), chance.state()
    yield
    for name, vector in given.items():
        same = bits(vector) == before[name]
        require(same, component, f"{method} changed {name} in place; make a new tensor instead")
    now = chance.state()
    for library, state in random_state.items():
        require(
            bits(now[library]) == bits(state),
            component,
            f"{method} drew from the global random numbers of {library}, or seeded them; they "
            "belong to the run. Take numbers from a generator of its own, seeded by options or by "
            "the run's seed: torch.Generator().manual_seed(...)",
        )


def check_conduct(
    component: Component, advance: Advance, method: str, *, ranks: bool = True
) -> list[Any]:
    """The same bits for every object, restored object and process; returns what the first gave.

    ``advance(component, i)`` makes the i-th call and returns what came out of it.
    """
    _check_options(component)
    first, outcomes, kept, middle = fresh(component), [], [], None
    stir(1)
    for i in range(STEPS):
        if i == MIDDLE:
            middle = saved(first.state_dict())
        with untouched(component, method):
            outcomes.append(advance(first, i))
        kept.append(bits(outcomes[-1]))
    require(
        kept == bits(outcomes),
        component,
        f"what {method} returned has changed after later calls: it returns a buffer of its own, or "
        "a view of one; return a new tensor, for example by clone()",
    )
    _check_alike(component, advance, method, kept)
    _check_resumed(component, advance, method, kept, middle)
    if ranks:
        _check_ranks(component, advance, method, kept)
    return outcomes


def stir(number: int) -> None:
    """Other global random numbers."""
    chance.seed(number)


def _check_options(component: Component) -> None:
    """Options are written to a run's folder, and read back."""
    options = component.config
    for key, field in type(options).model_fields.items():
        require(
            not field.is_required() and bool(field.description),
            component,
            f"its option {key!r} needs a default and a description",
        )
    again = type(options).model_validate(options.model_dump())
    require(
        again.model_dump() == options.model_dump(),
        component,
        "its options do not read back as they were written",
    )


def _run(component: Component, advance: Advance) -> list[Any]:
    other = fresh(component)
    return [bits(advance(other, i)) for i in range(STEPS)]


def _check_alike(component: Component, advance: Advance, method: str, kept: list[Any]) -> None:
    """Two objects with the same options do the same, whatever the global random numbers are."""
    stir(2)
    again = _run(component, advance)
    require(
        again == kept,
        component,
        f"{method} gives other numbers for a second object with the same options: it must depend "
        "on nothing but options, seed and arguments. Look for random numbers without a seed, for "
        "the time, the process id, and variables of the class or the module",
    )


def _check_resumed(
    component: Component, advance: Advance, method: str, kept: list[Any], middle: Any
) -> None:
    """What is restored in the middle goes on as what was never stopped."""
    twin = fresh(component)
    twin.load_state_dict(middle)
    rest = [bits(advance(twin, i)) for i in range(MIDDLE, STEPS)]
    require(
        rest == kept[MIDDLE:],
        component,
        f"{method} goes on differently after load_state_dict(state_dict()): something that it "
        "remembers from one call to the next is not in state_dict(), or is not taken back",
    )


def _check_ranks(component: Component, advance: Advance, method: str, kept: list[Any]) -> None:
    """Two processes find the same bits, those of one process alone."""

    def outcome(executor: Executor) -> list[Any]:
        os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(executor.rank)
        os.environ["WORLD_SIZE"] = str(executor.size)
        random.seed(executor.rank)
        return _run(component, advance)

    found = on_two_processes(component, outcome)
    differing = [r for r, one in enumerate(found) if one != kept]
    require(
        not differing,
        component,
        f"{method} gives other numbers on process {differing} of two than in one process alone; "
        "every process must compute the same: ask for no rank, and for no random numbers that "
        "differ from process to process",
    )


def on_two_processes(
    component: Any, outcome: Callable[[Executor], Any], timeout: float = 600.0
) -> list[Any]:
    """What ``outcome(executor)`` returns on each; an ``AssertionError`` where it fails on one.

    ``timeout`` is in seconds.
    """
    try:
        return run_ranks(outcome, 2, timeout=timeout)
    except RankFailedError as error:
        last = str(error).strip().splitlines()[-1]
        raise AssertionError(f"{who(component)}: it fails on two processes: {last}") from error

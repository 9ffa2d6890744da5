"""What every component must do, whatever its seam: the part that all checks of the kit share.

A component is run through a sequence of calls several times: as a new object with other global
random numbers, as one that is restored in the middle, and on two real processes. All of them must
give the same bits. What is told is the cause, not the symptom.
"""

from __future__ import annotations

import io
import os
import pickle
from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt.numerics.vectors import fingerprint
from ddopt.run import chance
from ddopt.testing.ranks import RankFailedError, run_ranks
from ddopt.testing.telling import require, who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ddopt.executor import Executor
    from ddopt.setup.component import Component

    Advance = Callable[[Any, int], Any]  # one call of a component: which, and the how-manieth

STEPS = 10  # calls of a sequence,
MIDDLE = (
    7  # which is resumed before this one: prime, so that what counts to a few has not come round
)


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

    Each has the environment of a launched process, and random numbers of its own. ``timeout`` is in
    seconds.
    """

    def launched(executor: Executor) -> Any:
        os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(executor.rank)
        os.environ["WORLD_SIZE"] = str(executor.size)
        stir(3 + executor.rank)
        return outcome(executor)

    try:
        return run_ranks(launched, 2, timeout=timeout)
    except RankFailedError as error:
        last = str(error).strip().splitlines()[-1]
        raise AssertionError(f"{who(component)}: it fails on two processes: {last}") from error

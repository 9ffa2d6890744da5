"""What is said of a component that does wrong: its name, its seam, who brought it, and what."""

from __future__ import annotations

from contextlib import contextmanager
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddopt.setup.component import Component

MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError)


def broken(component: Component, method: str, wanted: str, found: Any) -> ValueError:
    """The sentence about a component: its name, its seam, where it is from, what it must return."""
    shown = found if isinstance(found, str) else described(found)
    return ValueError(f"{called(component)}: {method} must return {wanted}; it returned {shown}")


def called(component: Component) -> str:
    """How messages call a component: its seam, its name, and who brought it."""
    from ddopt.setup.plugins import manager

    kind = type(component)
    seam, name = kind.seam, getattr(kind, "name", kind.__name__)
    claim = manager().registry.claim(kind)
    provider = claim.provider if claim is not None else f"module {kind.__module__}"
    return f"{seam} {name!r} (class {kind.__name__} of {provider})"


def described(thing: Any) -> str:
    """What was returned instead, in a few words."""
    if isinstance(thing, torch.Tensor):
        return f"a tensor of shape {tuple(thing.shape)} and {thing.dtype}"
    if isinstance(thing, (list, tuple)):
        return f"a {type(thing).__name__} of {len(thing)}"
    if thing is None or isinstance(thing, Real):
        return str(thing)
    if isinstance(thing, type):
        return f"the class {thing.__name__}"
    return f"a {type(thing).__name__}"


def number(thing: Any) -> bool:
    """Whether it is a real number, NaN included; a tensor is none."""
    return isinstance(thing, (float, int, Real))


def _ours(kind: type[Component]) -> bool:
    """Whether a class is of ddopt's own; the modules of others may begin with ddopt, too."""
    from ddopt.setup.plugins import manager

    claim = manager().registry.claim(kind)
    own: str = claim.source if claim is not None else kind.__module__.partition(".")[0]
    return own == "ddopt"


@contextmanager
def blamed(component: Component, method: str) -> Iterator[None]:
    """Let what goes wrong in the code of a plugin be a sentence with its name.

    Errors in ddopt's own components keep their traceback: they are faults of ddopt.
    """
    try:
        yield
    except MISTAKES as error:
        if _ours(type(component)) or (
            isinstance(error, RuntimeError) and type(error) is not RuntimeError
        ):
            raise
        raise ValueError(
            f"{called(component)}: {method} raised {type(error).__name__}: {error}"
        ) from error

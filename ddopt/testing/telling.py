"""How a check tells what is wrong: in one sentence, which names the component and the cause."""

from __future__ import annotations

import os
import traceback
from functools import wraps
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.problem import Problem
from ddopt.method.blame import called
from ddopt.run import chance
from ddopt.setup.component import Chosen, Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def told(check: Callable[..., None]) -> Callable[..., None]:
    """Let a check end in an ``AssertionError`` with one sentence, whatever the component raises."""

    @wraps(check)
    def checked(component: Any, *given: Any, **options: Any) -> None:
        __tracebackhide__ = True  # pytest shows the line that called the check, and the sentence
        before, around, failed = chance.state(), surroundings(), None
        try:
            _check_options(component)
            check(component, *given, **options)
        except Exception as error:
            failed = error
        finally:
            changed = _changed(around)
            chance.restore(before)
            _surround(around)
        if changed:
            raise AssertionError(f"{who(component)}: {changed}") from None
        if failed is not None:
            sentence, cause = _sentence(component, failed)
            raise _outside(sentence, check) from (cause and _outside(cause, check))

    return checked


def _sentence(component: Any, error: Exception) -> tuple[AssertionError, BaseException | None]:
    """What went wrong in a check, with the name of the component, and the error behind it."""
    text, name = " ".join(str(error).split()), who(component)
    if isinstance(error, AssertionError):
        named = error if name in text else AssertionError(f"{name}: {text}")
        return named, error.__cause__
    if isinstance(error, ValueError) and name in text:  # of the contract
        return AssertionError(text), None
    if isinstance(error, ValueError) and _ours(error):
        text = text.removeprefix(f"{name.partition(' (')[0]}: ")  # its seam and its name
        return AssertionError(f"{name}: {text}"), error
    return AssertionError(_raised(component, error)), error


def surroundings() -> dict[str, Any]:
    """What belongs to the process, and to no component."""
    return {
        "the mode of gradients (torch.set_grad_enabled)": torch.is_grad_enabled(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "the working directory": os.getcwd(),
    }


def _surround(before: dict[str, Any]) -> None:
    """Put back what ``surroundings`` gave."""
    grad, dtype, threads, place = before.values()
    torch.set_grad_enabled(grad)
    torch.set_default_dtype(dtype)
    torch.set_num_threads(threads)
    os.chdir(place)


def _changed(before: dict[str, Any]) -> str:
    """The sentence about what belongs to the process and was changed, or ""."""
    for what, now in surroundings().items():
        if now != before[what]:
            return (
                f"it changes {what}, from {before[what]} to {now}, for everybody in the process; "
                "put it back, or leave it alone"
            )
    return ""


def _check_options(component: Any) -> None:
    """Options are written to a run's folder, and read back."""
    options = getattr(component, "config", None)
    for key, field in getattr(type(options), "model_fields", {}).items():
        chosen = any(isinstance(one, Chosen) for one in field.metadata)  # a user's to choose
        require(
            (chosen or not field.is_required()) and bool(field.description),
            component,
            f"its option {key!r} needs a default and a description",
        )
    if isinstance(options, Settings):
        again = type(options).model_validate(options.model_dump())
        require(
            again.model_dump() == options.model_dump(),
            component,
            "its options do not read back as they were written",
        )


def _outside(error: BaseException, check: Callable[..., None]) -> BaseException:
    """The error without its first frames, as far as they are the kit's or the check's module's."""
    frames = error.__traceback__
    while frames is not None and (
        frames.tb_frame.f_globals is check.__globals__
        or frames.tb_frame.f_globals.get("__package__") == __package__
    ):
        frames = frames.tb_next
    return error.with_traceback(frames)


def _ours(error: BaseException) -> bool:
    """Whether ddopt has raised it: then it is a sentence already."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    module = "" if frames is None else str(frames.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] == "ddopt"


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
        f"{who(component)}: it raised {type(error).__name__}: {' '.join(str(error).split())} "
        f"({place.filename}, line {place.lineno}, in {place.name})"
    )


def require(condition: bool, component: Any, sentence: str) -> None:
    """Raise ``AssertionError`` with the component's name before the sentence."""
    if not condition:
        raise AssertionError(f"{who(component)}: {sentence}")

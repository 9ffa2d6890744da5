"""Errors as people see them: one readable message and exit code 2, no traceback."""

from __future__ import annotations

import errno
import os
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130  # the exit code that shells give to Ctrl-C
NOT_FINITE = 3  # of a run that ends since the loss, or a derivative of it, is not finite
TRACEBACK = "DDOPT_TRACEBACK"  # set it to 1 to see where a message comes from
LINE = 200  # characters of another library's message
FULL = (errno.ENOSPC, errno.EDQUOT)
REMEDY = "; make room, then continue: ddopt resume, or the same ddopt compare"


class UserError(click.ClickException):
    """What a user can mend."""

    exit_code = 2


@contextmanager
def courteous() -> Iterator[None]:
    """Turn what a user can mend into a message.

    That is a ``ValueError``, a package that is missing, a file that cannot be read or written, a
    disk that is full, what does not fit into memory, and the death of another process, which says
    more itself.
    """
    try:
        yield
    except (ValueError, ModuleNotFoundError, OSError, RuntimeError, MemoryError) as error:
        if os.environ.get(TRACEBACK, "") not in ("", "0") or not _mendable(error):
            raise
        raise _message(error) from error


def _mendable(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.filename is not None or error.errno in FULL
    if isinstance(error, RuntimeError):
        from ddopt.executor.pulse import RankLostError

        return isinstance(error, RankLostError) or _too_large(error)
    return True


def _too_large(error: Exception) -> bool:
    """Whether memory has run out, as Python, NumPy and torch say it, on any device."""
    if isinstance(error, MemoryError):
        return True
    words = ("allocate memory", "out of memory", "size calculation overflowed", "multiplication ov")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def _message(error: Exception) -> click.ClickException:
    text = str(error)
    if _too_large(error):
        first = text.partition("\n")[0][:LINE] or "out of memory"
        return UserError(
            f"this does not fit into memory ({first}); make the network, the samples of one "
            "evaluation, or the memory of the curvature smaller"
        )
    if isinstance(error, OSError):
        name = str(error.filename)
        name = name if len(name) <= LINE else f"{name[:LINE]}..."
        place = f"{name}: " if error.filename is not None else ""
        return UserError(f"{place}{error.strerror}{REMEDY if error.errno in FULL else ''}")
    if isinstance(error, RuntimeError):
        return click.ClickException(text)
    if isinstance(error, ModuleNotFoundError):
        from ddopt.setup.extras import remedy

        advice = remedy(error)
        if advice:
            text = f"{text}.{advice}"
        elif error.name is not None:  # from an import statement: not a message for people
            raise error
    return UserError(f"{text}{_origin(error)}")


def _origin(error: Exception) -> str:
    """Where an error comes from that is not of ddopt's own words: a plugin's, or a library's."""
    from ddopt.setup.plugins import manager

    ours = {p.name.partition(".")[0] for p in manager().plugins if p.distribution == "ddopt"}
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or frames[-1].f_globals.get("__name__", "").partition(".")[0] in ours:
        return ""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f" ({last.filename}, line {last.lineno}; {TRACEBACK}=1 shows how it came there)"

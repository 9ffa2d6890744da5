"""Errors as people see them: one readable message and exit code 2, no traceback."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACEBACK = "DDOPT_TRACEBACK"  # set it to 1 to see where a message comes from


class UserError(click.ClickException):
    """What a user can mend."""

    exit_code = 2


@contextmanager
def courteous() -> Iterator[None]:
    """Turn what a user can mend into a message: a ``ValueError``, or a package that is missing."""
    try:
        yield
    except (ValueError, ModuleNotFoundError) as error:
        if os.environ.get(TRACEBACK, "") not in ("", "0"):
            raise
        raise _message(error) from error


def _message(error: Exception) -> click.ClickException:
    text = str(error)
    if isinstance(error, ModuleNotFoundError):
        from ddopt.extras import remedy

        advice = remedy(error)
        if advice:
            text = f"{text}.{advice}"
        elif error.name is not None:  # from an import statement: not a message for people
            raise error
    return UserError(text)

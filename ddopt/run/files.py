"""Files that are either whole or not there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """Fill a temporary file, sync it, and give it its name; a crash leaves the old file.

    Raises ``OSError`` that names ``path`` if it cannot be written, also where ``fill`` is torch's
    ``save``, which ends a file that could not be written with another error.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError) or cause.errno is None:
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole."""
    write(path, lambda stream: stream.write(text.encode()))


def _sync_folder(folder: Path) -> None:
    """Make a rename last; some systems cannot open folders, and need not."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

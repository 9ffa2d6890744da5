"""Where data sets are kept, and how one process alone fetches them."""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE = "DDOPT_DATA_ROOT"
TIMEOUT = 30.0  # seconds without an answer


def data_root(given: str | None = None) -> Path:
    """The folder of the data sets: the given one, $DDOPT_DATA_ROOT, or the user's cache."""
    chosen = given or os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ddopt"


def missing(what: str, root: Path, reason: object) -> ValueError:
    """The error of a data set that is not there and cannot be fetched."""
    return ValueError(
        f"{what} is not in {root} and could not be downloaded ({reason}). Connect to the network "
        f"once, or name a folder that holds it: problem.root=FOLDER, or {VARIABLE}=FOLDER"
    )


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Let one process at a time into a folder; the others wait, and then find what it fetched.

    The system drops the lock of a process that dies. Where there are no such locks, there is none.
    """
    root.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(root / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(url: str, path: Path, sha256: str) -> None:
    """Download a file; it appears under its name when its checksum is right.

    Raises ``OSError`` without a network, ``ValueError`` if the file is not the expected one.
    """
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ValueError(f"{url} has the checksum {found}; expected {sha256}")
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(content)
    partial.replace(path)

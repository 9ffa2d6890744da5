"""One run folder, one run: the lock that a process holds on a folder while it writes there.

The lock is the system's, on a file that also says whose it is. The system drops it with the
process, however that ends, so what a killed run leaves behind is told from a run that goes on.
Whether a process of another host is alive cannot be seen in every file system: there the file
itself counts.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

try:
    import fcntl
except ImportError:  # no such locks here: then nothing is locked
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
JOB = "TORCHELASTIC_RUN_ID"  # of the launcher's job; a restarted one takes over what it has left
_held: set[str] = set()  # folders of this process, which the system would let in twice


class Lock:
    """The right of this process to write into a folder, from the moment it is made."""

    def __init__(self, folder: Path) -> None:
        """Raises ``ValueError`` where another run has it, saying who that is."""
        self._path, self._key = folder / NAME, str(folder.resolve())
        if self._key in _held:
            raise ValueError(_taken(folder, _own()))
        self._descriptor = _acquire(self._path, folder)
        _held.add(self._key)

    def release(self) -> None:
        """Give the folder free; the file goes with the lock."""
        if self._key in _held:
            _held.discard(self._key)
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)


def _acquire(path: Path, folder: Path) -> int:
    """The file, locked; it says from now on that it is this process's."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor, folder)
            # Whoever gives a lock up removes the file: this one may be gone by now.
            if not _there(path, descriptor):
                os.close(descriptor)
                continue
            _refuse_other_hosts(_read(descriptor), path, folder)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(_own()).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise ValueError(_taken(folder, _read(descriptor))) from None
    except OSError:
        return  # a file system without locks


def _refuse_other_hosts(left: dict[str, Any], path: Path, folder: Path) -> None:
    own = _own()
    same_job = left.get("job") is not None and left["job"] == own["job"]
    if left.get("host", own["host"]) == own["host"] or same_job:
        return
    raise ValueError(
        f"{_taken(folder, left)}. That is another host, so whether it still goes on cannot be seen "
        f"from here; if it does not, remove {path}"
    )


def _own() -> dict[str, Any]:
    job = os.environ.get(JOB)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    own = {"host": socket.gethostname(), "process": os.getpid(), "since": since}
    return {**own, "job": job if job != "none" else None}


def _read(descriptor: int) -> dict[str, Any]:
    """What a lock file says; nothing where it has been damaged."""
    try:
        left = json.loads(os.pread(descriptor, 4096, 0))
    except (ValueError, RecursionError):
        return {}
    return left if isinstance(left, dict) else {}


def _taken(folder: Path, left: dict[str, Any]) -> str:
    who = f"process {left.get('process', 'unknown')} on {left.get('host', 'an unknown host')}"
    since = f", since {left['since']}" if "since" in left else ""
    return f"the run in {folder} belongs to {who}{since}: one folder holds one run"

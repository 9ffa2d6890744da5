"""Checkpoints: everything that the next iteration depends on, in files that can be trusted.

``checkpoints/00000050.pt`` is read by ``torch.load(weights_only=True)``; its SHA-256 is in
``00000050.pt.sha256``, which is written first: a checkpoint that is there can be checked. What no
process holds alone is in files of its own, in ``checkpoints/00000050/``.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from typing import TYPE_CHECKING, Any

import torch

from ddopt.run import files, stored
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDER = "checkpoints"
KEPT = 2  # the newest, and one to fall back on
GPUS = 64  # of one machine, at most
NAME = re.compile(r"\d{8,}\.pt")
PART = re.compile(r"(\d{8,})(\.pt\.sha256|\.draft)?")  # what belongs to a checkpoint, or will


def save(folder: Path, iteration: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of an iteration, and drop all but the newest two."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{iteration:08d}.pt"
    draft = path.with_suffix(".draft")
    write(draft, state)
    files.write_text(_seal(path), digest(draft) + "\n")
    draft.replace(path)
    for old in _all(folder)[KEPT:]:
        old.unlink()
        _seal(old).unlink(missing_ok=True)
        shutil.rmtree(pieces_of(folder, int(old.stem)), ignore_errors=True)
    return path


def write(path: Path, state: Any) -> None:
    """Write a state as a whole, without a copy of it in memory."""
    files.write(path, lambda stream: torch.save(stored.tight(state), stream))


def pieces_of(folder: Path, iteration: int) -> Path:
    """Where the pieces of a model that no process holds are; see :mod:`ddopt.run.shards`."""
    return folder / FOLDER / f"{iteration:08d}"


def read(path: Path, device: torch.device | str = "cpu") -> Any:
    """What is in a file, its tensors on this process's device."""
    moved = _moves(torch.device(device))
    return stored.loose(torch.load(path, map_location=moved, weights_only=True))


def load(
    folder: Path,
    device: torch.device | str = "cpu",
    unfit: Callable[[dict[str, Any]], str] = lambda state: "",
) -> dict[str, Any] | None:
    """The newest checkpoint that is undamaged and not ``unfit``; None if the run has none.

    ``unfit`` says what a checkpoint lacks, or nothing. Warns about each that is passed over; raises
    ``ValueError`` if all of them are.
    """
    reasons = []
    for path in _all(folder):
        state, reason = _checked(path, device)
        reason = reason or unfit(state)
        if not reason:
            return state
        reasons.append(f"{path.name}: {reason}")
        warn(f"{path} cannot be used ({reason}); trying the one before")
    if reasons:
        raise ValueError(
            f"no checkpoint in {folder / FOLDER} can be used ({'; '.join(reasons)}). Put back what "
            "was changed there, or start a new run"
        )
    return None


def at(folder: Path, iteration: int, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The checkpoint of an iteration, which another process has checked.

    Raises ``ValueError`` where this process cannot read it.
    """
    path = folder / FOLDER / f"{iteration:08d}.pt"
    try:
        return dict(read(path, device))
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read ({type(error).__name__}), although process 0 can; every "
            "process must see the run folder"
        ) from error


def tidy(folder: Path) -> None:
    """Remove what a process that was killed has left half written."""
    place = folder / FOLDER
    for path in [*folder.glob(".*.tmp"), *place.glob(".*.tmp")]:
        path.unlink(missing_ok=True)
    whole = {path.stem for path in _all(folder)}
    for path in place.iterdir() if place.is_dir() else ():
        part = PART.fullmatch(path.name)
        if part is None or (part[1] in whole and not path.name.endswith(".draft")):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _moves(device: torch.device) -> dict[str, str] | None:
    """What was on any GPU goes to this process's own; what was on the CPU stays there."""
    if device.type != "cuda":
        return None
    return {f"cuda:{number}": str(device) for number in range(GPUS)}


def _all(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    found = [path for path in (folder / FOLDER).glob("*.pt") if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(path.stem), reverse=True)


def _seal(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checked(path: Path, device: torch.device | str) -> tuple[dict[str, Any], str]:
    """A checkpoint, and what is wrong with it or its pieces; empty if nothing is."""
    seal = _seal(path)
    if not seal.is_file():
        return {}, "its checksum is missing"
    if not path.is_file() or seal.read_bytes().strip() != digest(path).encode():
        return {}, "its checksum differs"
    try:
        state = read(path, device)
    except Exception as error:  # sealed, and yet not what torch can read, or may
        return {}, f"its content is none of ours: {type(error).__name__}"
    if not isinstance(state, dict) or not isinstance(state.get("pieces", {}), dict):
        return {}, "its content is none of ours"
    for name, expected in state.get("pieces", {}).items():
        piece = path.with_suffix("") / str(name)
        if not piece.is_file() or digest(piece) != expected:
            return {}, f"its piece {name} is missing or differs"
    return state, ""

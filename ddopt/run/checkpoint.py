"""Checkpoints: everything that the next iteration depends on, in files that can be trusted.

``checkpoints/00000050.pt`` is read by ``torch.load(weights_only=True)``; its SHA-256 is in
``00000050.pt.sha256``, which is written first: a checkpoint that is there can be checked.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any

import torch

from ddopt.run import files
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "checkpoints"
KEPT = 2  # the newest, and one to fall back on
GPUS = 64  # of one machine, at most


def save(folder: Path, iteration: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of an iteration, and drop all but the newest two."""
    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, iteration)
    draft = path.with_suffix(".draft")
    files.write(draft, lambda stream: torch.save(state, stream))
    files.write_text(_seal(path), digest(draft) + "\n")
    draft.replace(path)
    for old in _all(folder)[KEPT:]:
        old.unlink()
        _seal(old).unlink(missing_ok=True)
        shutil.rmtree(pieces_of(folder, int(old.stem)), ignore_errors=True)
    return path


def path_of(folder: Path, iteration: int) -> Path:
    """Where the checkpoint of an iteration is."""
    return folder / FOLDER / f"{iteration:08d}.pt"


def pieces_of(folder: Path, iteration: int) -> Path:
    """Where the pieces of a model that no process holds are; see :mod:`ddopt.run.shards`."""
    return folder / FOLDER / f"{iteration:08d}"


def read(path: Path, device: torch.device | str = "cpu") -> Any:
    """What is in a file, its tensors on this process's device."""
    return torch.load(path, map_location=_moves(torch.device(device)), weights_only=True)


def load(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The newest checkpoint that is undamaged; None if the run has none.

    Warns about each damaged one that is passed over; raises ``ValueError`` if all of them are.
    """
    found = _all(folder)
    for path in found:
        reason = _damage(path)
        if not reason:
            state: dict[str, Any] = read(path, device)
            return state
        warn(f"{path} is damaged ({reason}); trying the one before")
    if found:
        raise ValueError(f"all checkpoints in {folder / FOLDER} are damaged; start a new run")
    return None


def _moves(device: torch.device) -> dict[str, str] | None:
    """What was on any GPU goes to this process's own; what was on the CPU stays there."""
    if device.type != "cuda":
        return None
    return {f"cuda:{number}": str(device) for number in range(GPUS)}


def _all(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    return sorted((folder / FOLDER).glob("*.pt"), reverse=True)


def _seal(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _damage(path: Path) -> str:
    """What is wrong with a checkpoint or its pieces; empty if nothing is."""
    seal = _seal(path)
    if not seal.exists():
        return "its checksum is missing"
    if seal.read_text().strip() != digest(path):
        return "its checksum differs"
    for name, expected in read(path).get("pieces", {}).items():
        piece = path.with_suffix("") / name
        if not piece.exists() or digest(piece) != expected:
            return f"its piece {name} is missing or differs"
    return ""

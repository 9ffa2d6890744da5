"""The record of a run: ``metrics.jsonl``, a line per outer iteration, and ``summary.json``."""

from __future__ import annotations

import hashlib
import json
import math
import os
from typing import TYPE_CHECKING, Any

from ddopt.method.parts import StepReport
from ddopt.run import files
from ddopt.run.tally import Tally
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from pathlib import Path


METRICS, SUMMARY = "metrics.jsonl", "summary.json"


class Record:
    """Appends lines to ``metrics.jsonl``; each is on its way to the disk before the next."""

    def __init__(self, folder: Path) -> None:
        self._stream = (folder / METRICS).open("ab")
        self._seal = Seal()
        for line in _lines(folder):
            self._seal.add(line)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        encoded = json.dumps(strict(line)).encode()
        self._stream.write(encoded + b"\n")
        self._stream.flush()
        self._seal.add(encoded)

    def seal(self) -> dict[str, Any]:
        """See to it that all lines are on the disk, and say what a checkpoint keeps of them."""
        os.fsync(self._stream.fileno())
        return self._seal.state()

    def close(self) -> None:
        """Write no more."""
        self._stream.close()


class Seal:
    """The number of lines of a record, and their SHA-256.

    Of the last line only that counts which does not depend on whether the run has ended there.
    """

    def __init__(self) -> None:
        self.count, self._last, self._before = 0, b"", hashlib.sha256()

    def add(self, line: bytes) -> None:
        """One more line, without its end."""
        if self.count:
            self._before.update(self._last + b"\n")
        self.count, self._last = self.count + 1, line

    def state(self) -> dict[str, Any]:
        """The seal so far."""
        whole = self._before.copy()
        whole.update(json.dumps(_parsed(self._last, bare=True)).encode())
        return {"lines": self.count, "sha256": whole.hexdigest()}


def unlike(folder: Path, seal: Any) -> str:
    """Where the record is not the one that a checkpoint was written with; empty if it is.

    What was written after that is dropped, and so is a line that is there twice.
    """
    there, count = _lines(folder), int(seal["lines"])
    if not (folder / METRICS).exists():
        return f"{METRICS} is missing"
    lines = there[:count]
    if not _sealed(lines, seal):
        lines = list(dict.fromkeys(there))[:count]
        if not _sealed(lines, seal):
            short = f" ends at line {len(lines)}, before it" if len(lines) < count else ""
            return f"{METRICS}{short or ' is not the one that it was written with'}"
        warn(f"{folder / METRICS} has lines twice; they are taken once")
    if lines != there:
        files.write(folder / METRICS, lambda stream: stream.writelines(_ended(lines)))
    return ""


def _sealed(lines: list[bytes], seal: Any) -> bool:
    made = Seal()
    for line in lines:
        made.add(line)
    return made.state() == seal


def _ended(lines: list[bytes]) -> list[bytes]:
    return [line + b"\n" for line in lines]


def _lines(folder: Path) -> list[bytes]:
    """The lines as they are in the file, the last one even if it is torn."""
    path = folder / METRICS
    content = path.read_bytes() if path.exists() else b""
    return content.removesuffix(b"\n").split(b"\n") if content else []


def _parsed(line: bytes, *, bare: bool = False) -> dict[str, Any] | None:
    """A line as numbers, ``bare`` of what was measured; None if it is no line of a record."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("iteration"), int):
        return None
    return {key: value for key, value in found.items() if key in KEYS} if bare else found


def strict(value: Any) -> Any:
    """``value`` without the numbers that JSON lacks: nan and the infinities become null."""
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; a last line that a crash tore off is left out.

    Raises ``ValueError`` where another one cannot be read.
    """
    lines = _lines(folder)
    found = [_parsed(line) for line in lines]
    if found and found[-1] is None:
        found.pop()
    if None in found:
        number = found.index(None) + 1
        raise ValueError(
            f"{folder / METRICS}, line {number}: {lines[number - 1][:60]!r} is no line of a record"
        )
    return [line for line in found if line is not None]


def cut(folder: Path, iteration: int) -> None:
    """Drop what was recorded after ``iteration``: a resumed run does it again."""
    lines = read(folder) if iteration >= 0 else []  # else they may be anything
    _replace(folder, [line for line in lines if line["iteration"] <= iteration])


def settle(folder: Path, measured: dict[str, float]) -> None:
    """Give the last line the numbers that were measured there, or take them away: ``{}``.

    A run measures where it ends. One that goes on from there shall have the lines of a run that
    never stopped, and one that ends where it was interrupted those of a run that ends. Numbers
    that are there already stay as they are.
    """
    *before, last = read(folder) or [{}]
    bare = {key: value for key, value in last.items() if key in KEYS}
    added = {key: value for key, value in measured.items() if key not in KEYS}
    if bool(added) == (last == bare) and last:
        _replace(folder, [*before, bare | added])


def _replace(folder: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(strict(line)) + "\n" for line in lines)
    files.write_text(folder / METRICS, text)


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write ``summary.json`` as a whole."""
    files.write_text(folder / SUMMARY, json.dumps(strict(summary), indent=2) + "\n")


def summary(folder: Path) -> dict[str, Any] | None:
    """What ``summary.json`` holds; None where there is none, or one that was damaged."""
    path = folder / SUMMARY
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        if isinstance(found["stop_reason"], str):
            return found
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    warn(f"{path} is damaged, and left out")
    return None


def line(tally: Tally, report: StepReport | None, measured: dict[str, float]) -> dict[str, Any]:
    """One line of the record.

    Counts are over the whole run; what begins with step, local or global is of this step.
    """
    found: dict[str, Any] = {
        "iteration": tally.iterations,
        "loss": tally.loss,
        "ratio": None,
        "radius": None,
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "evaluations": tally.parallel,
        "evaluations_total": tally.total,
        "seconds": round(tally.seconds, 4),
        "processor_seconds": round(tally.processor_seconds, 4),
        "bytes_sent": tally.bytes_sent,
        "collectives": tally.collectives,
    }
    if report is not None:
        found |= {
            "ratio": report.ratio,
            "radius": None if math.isnan(report.radius) else report.radius,
            "step_accepted": report.accepted,
            "step_norm": report.step_norm,
            "step_retried": report.retried,
            "local_accepted": report.local_accepted,
            "local_rejected": report.local_rejected,
            "global_ratio": report.global_ratio,
            "global_radius": report.global_radius,
            "global_accepted": report.global_accepted,
            "global_rejected": report.global_rejected,
        }
    return found | {key: value for key, value in measured.items() if key not in found}


KEYS = frozenset(line(Tally(), StepReport(), {}))  # of a line in which nothing was measured

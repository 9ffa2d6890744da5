"""The record of a run: ``metrics.jsonl``, a line per outer iteration, and ``summary.json``."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from ddopt.method.parts import StepReport
from ddopt.run import files
from ddopt.run.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path


METRICS, SUMMARY = "metrics.jsonl", "summary.json"


class Record:
    """Appends lines to ``metrics.jsonl``; each is on its way to the disk before the next."""

    def __init__(self, folder: Path) -> None:
        self._stream = (folder / METRICS).open("a", encoding="utf-8")

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        self._stream.write(json.dumps(strict(line)) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Write no more."""
        self._stream.close()


def strict(value: Any) -> Any:
    """``value`` without the numbers that JSON lacks: nan and the infinities become null."""
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl``; a last line that a crash tore off is left out."""
    path = folder / METRICS
    texts = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError as error:
            if number == len(texts):
                break
            raise ValueError(f"{path}, line {number}: {error}") from None
    return lines


def cut(folder: Path, iteration: int) -> None:
    """Drop what was recorded after ``iteration``: a resumed run does it again."""
    _replace(folder, [line for line in read(folder) if line["iteration"] <= iteration])


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
    """What ``summary.json`` holds; None where there is none."""
    path = folder / SUMMARY
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


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
        "bytes_sent": tally.bytes_sent,
        "collectives": tally.collectives,
    }
    if report is not None:
        found |= {
            "ratio": report.ratio,
            "radius": report.radius,
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

"""The closing words of a run, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddopt.run import columns, record
from ddopt.run.progress import MERITS, cell, duration

if TYPE_CHECKING:
    from pathlib import Path

PARTED = 10.0  # times the loss from which on a validation loss is worth a sentence


def closing(folder: Path) -> str:
    """A few lines: how the run ended, and what it came to."""
    summary = record.summary(folder)
    assert summary is not None, "the run has not ended"
    merits = [
        f"{key} {cell(summary[key])}" for key in ("loss", *MERITS) if summary.get(key) is not None
    ]
    more = [key for key in summary if key not in {*columns.SUMMARY, *MERITS}]  # unknowns, ...
    merits += [f"{key} {cell(summary[key])}" for key in more if summary[key] is not None]
    spent = summary["evaluations"]
    return _ended(summary, merits, spent) + _parted(summary)


def _parted(summary: dict[str, Any]) -> str:
    """A sentence where samples that were not trained on have another loss."""
    loss = summary.get("fit_loss", summary.get("loss"))  # of the same mean as the validation's
    other = summary.get("validation_loss")
    if not loss or other is None or other <= PARTED * loss:
        return ""
    return (
        f"\nthe validation loss is {other / loss:.0f} times the loss: the samples are too few or "
        "badly placed for this model, and what was fitted to them need not be a solution"
    )


def _ended(summary: dict[str, Any], merits: list[str], spent: dict[str, float]) -> str:
    parts = counted(summary["subdomains"], "subdomain"), counted(summary["processes"], "process")
    steps = counted(summary["outer_iterations"], "outer iteration")
    return (
        f"\nstopped ({summary['stop_reason']}): {summary['stop_message']}\n"
        f"{summary['problem']} with {summary['strategy']}, {', '.join(parts)}\n"
        f"{', '.join(merits)}\n"
        f"{steps} ({summary['accepted']} accepted, {summary['rejected']} rejected)\n"
        f"{cell(spent['parallel'])} evaluations per process "
        f"({cell(spent['total'])} total), {duration(summary['seconds'])}"
    )


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 process, 2 processes."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"

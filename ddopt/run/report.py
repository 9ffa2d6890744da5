"""The closing words of a run, for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ddopt.run import record
from ddopt.run.progress import MERITS, cell

if TYPE_CHECKING:
    from pathlib import Path


def closing(folder: Path) -> str:
    """A few lines: how the run ended, and what it came to."""
    summary = json.loads((folder / record.SUMMARY).read_text(encoding="utf-8"))
    merits = [
        f"{key} {cell(summary[key])}" for key in ("loss", *MERITS) if summary.get(key) is not None
    ]
    spent = summary["evaluations"]
    return (
        f"\nstopped ({summary['stop_reason']}): {summary['stop_message']}\n"
        f"{summary['problem']} with {summary['strategy']}, {summary['subdomains']} subdomain(s) in "
        f"{summary['processes']} process(es): {', '.join(merits)}\n"
        f"{summary['outer_iterations']} outer iterations ({summary['accepted']} accepted, "
        f"{summary['rejected']} rejected), {cell(spent['parallel'])} full gradients on the longest "
        f"path ({cell(spent['total'])} in all), {cell(summary['seconds'])} s"
    )

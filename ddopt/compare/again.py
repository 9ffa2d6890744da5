"""A comparison that is read again from its folder, to draw its figure anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddopt.compare import figure
from ddopt.compare.entry import slug
from ddopt.compare.score import Row, read
from ddopt.setup.config import Stop

if TYPE_CHECKING:
    from collections.abc import Iterator


def rows_of(folder: Path, table: dict[str, Any]) -> Iterator[Row]:
    """The rows of a comparison, with the lines of their runs.

    Raises ``ValueError`` for a table of an older version, which does not know its budget.
    """
    if "budget" not in table:
        raise ValueError(
            f"{folder} was written by an older version; the same ddopt compare writes it again"
        )
    stop = Stop(**table["budget"])
    for row in table["rows"]:
        place = folder / slug(row["method"])
        if row["rate"] is not None:
            place /= f"rate-{row['rate']:.3e}"
        outcomes = [read(place / f"seed-{seed}", stop) for seed in table["seeds"]]
        yield Row(row["method"], outcomes, row["subdomains"], row["rate"], look=row["look"])


def redraw(folder: Path) -> list[Path]:
    """Draw the figure of a comparison again; returns the files."""
    table = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    rows = list(rows_of(folder, table))
    return figure.draw(folder, rows, table["title"], table["seeds"])

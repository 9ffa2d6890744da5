"""Columns of numbers: a pandas ``DataFrame`` where pandas is installed, otherwise a plain table."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHOWN = 10  # rows of a table in a notebook


class Columns:
    """Rows with named columns: ``table["loss"]``, ``table.columns``, ``len(table)``.

    It has what scripts need of a ``DataFrame``; a number that is missing is nan.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = list(rows)
        self.columns = list(dict.fromkeys(key for row in self.rows for key in row))

    def __getitem__(self, column: str) -> Any:
        """A column as a NumPy array, shape (rows,); raises ``KeyError`` if absent."""
        import numpy as np

        if column not in self.columns:
            raise KeyError(f"there is no column {column!r}; there are {', '.join(self.columns)}")
        found = [row.get(column) for row in self.rows]
        return np.asarray([math.nan if value is None else value for value in found])

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the columns, as a ``DataFrame`` does."""
        return iter(self.columns)

    def __repr__(self) -> str:
        """Say the size and the columns."""
        return f"{len(self)} rows with {', '.join(self.columns)}"

    def _repr_html_(self) -> str:
        return rows_html(self.rows[-SHOWN:], self.columns)


def columns(rows: Sequence[dict[str, Any]]) -> Any:
    """A ``DataFrame`` of the rows where pandas is installed, else ``Columns``."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return Columns(rows)
    return pd.DataFrame(list(rows))


def rows_html(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Rows as an HTML table."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(shown(row.get(name)))}</td>' for name in names)}</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def shown(value: Any) -> str:
    """A value as a table shows it."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)

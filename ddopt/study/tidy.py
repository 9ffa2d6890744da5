"""The tidy table of a study: a row for each measurement of each run, and what is read from it.

Tables and figures are made of this file alone. Its columns: the problem, the method, every key that
varies, ``rate``, ``chosen`` (whether the rate is the one that was chosen), ``seed``, ``reason``
(why the run ended), ``failure`` (why there is nothing to measure), and then what was measured.
"""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from ddopt.compare.score import MERITS, Effort, Outcome, Row
from ddopt.run import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ddopt.study.cell import Cell
    from ddopt.study.job import Job

TABLE, COLUMNAR = "table.csv", "table.parquet"
ABOUT = ("problem", "method", "rate", "chosen", "seed", "subdomains", "look", "reason", "failure")
PAID = ("iteration", "evaluations", "evaluations_total", "seconds", "processor_seconds", "loss")
RATE = "baseline.rate"
MOST = 200  # rows of a run where nothing but the loss is measured


def records(cells: Sequence[Cell], columns: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The rows of the table, from the folders of the runs that are over."""
    from ddopt.compare.score import read

    found = []
    for cell in cells:
        runs = cell.runs()
        chosen = {job.folder for job in runs}
        jobs = {job.folder: job for job in [*cell.sweep(), *runs]}
        for job in jobs.values():
            if not job.done:
                continue
            about = _about(cell, job, job.folder in chosen or not runs)
            if job.failure is not None:
                found.append({**about, "failure": job.failure})
                continue
            outcome = read(job.folder, job.config.stop)
            for line in _measured(outcome.lines):
                keys = [*PAID, *(merit.key for merit in MERITS), *columns]
                shown = {key: line[key] for key in keys if line.get(key) is not None}
                found.append({**about, "reason": outcome.reason, **shown})
    return found


def _about(cell: Cell, job: Job, chosen: bool) -> dict[str, Any]:
    entry = job.entry
    plain = {
        key: value if isinstance(value, (int, float, str)) else json.dumps(value)
        for key, value in cell.where.items()
    }
    return {
        **plain,
        "rate": getattr(entry, "rate", None),
        "chosen": chosen,
        "seed": job.config.seed,
        "subdomains": getattr(entry, "subdomains", 1),
        "look": entry.look,
    }


def _measured(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines at which something was measured, and the last one."""
    keys = {merit.key for merit in MERITS if merit.key != "loss"}
    kept = [line for line in lines if keys & line.keys()]
    if not kept:
        every = max(1, len(lines) // MOST)
        kept = list(lines[::every])
    return kept if lines[-1] in kept[-1:] else [*kept, lines[-1]]


def write(folder: Path, found: Sequence[dict[str, Any]]) -> None:
    """Write ``table.csv``, and ``table.parquet`` where pyarrow is installed."""
    names = dict.fromkeys(key for row in found for key in row)
    before = (key for row in found for key in takewhile(lambda key: key != "rate", row))
    varied = [key for key in dict.fromkeys(before) if key not in ABOUT]
    more = [key for key in names if key not in (*ABOUT, *PAID, *varied)]
    columns = [*ABOUT[:2], *varied, *ABOUT[2:], *PAID, *more]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    files.write_text(folder / TABLE, text.getvalue())
    if find_spec("pyarrow") is not None:
        import pyarrow as arrow
        from pyarrow import parquet

        whole = {key: [row.get(key) for row in found] for key in columns}
        mixed = {k: v if _alike(v) else [x and str(x) for x in v] for k, v in whole.items()}
        parquet.write_table(arrow.table(mixed), folder / COLUMNAR)


def _alike(values: Iterable[Any]) -> bool:
    """Whether a column is of one kind, as its format wants."""
    return len({type(value) for value in values if value is not None}) <= 1


@dataclass(frozen=True)
class Table:
    """What is in ``table.csv``: numbers as numbers, without the cells that are empty."""

    varied: list[str]  # the keys that the study varies: they stand before the rate
    lines: list[dict[str, Any]]


def read(folder: Path) -> Table:
    """The table of a study; raises ``ValueError`` where there is none."""
    path = folder / TABLE
    if not path.exists():
        raise ValueError(f"{folder} holds no study: there is no {TABLE} in it")
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        lines = [{k: _value(text) for k, text in line.items() if text != ""} for line in reader]
        names = list(reader.fieldnames or ())
    return Table(names[2 : names.index("rate")], lines)


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def rows(table: Table) -> dict[str, list[Row]]:
    """The rows of each problem's table: a method, one choice of what varies, the best rate."""
    keys, found = table.varied, table.lines
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for line in found:
        key = (line["problem"], line["method"], *(line.get(k) for k in keys))
        groups.setdefault(key, []).append(line)
    tables: dict[str, list[Row]] = {}
    for (problem, method, *values), lines in groups.items():
        where = {k: v for k, v in zip(keys, values, strict=True) if v is not None}
        row = _row(str(method), where, lines)
        tables.setdefault(str(problem), []).append(row)
    return tables


def _row(method: str, where: dict[str, Any], lines: Sequence[dict[str, Any]]) -> Row:
    label = ", ".join([method, *(f"{short(key)} {show(value)}" for key, value in where.items())])
    runs: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for line in lines:
        runs.setdefault((line.get("rate"), line["seed"]), []).append(line)
    failures, outcomes, seeds, others = [], [], [], []
    tried: dict[float, float] = {}
    rate: float | None = None
    for (tested, seed), some in runs.items():
        if "failure" in some[0]:
            at = "" if tested is None else f"rate {tested:.1e}, "
            failures.append(f"{label}, {at}seed {seed}: {some[0]['failure']}")
            continue
        outcome = Outcome(some, str(some[0]["reason"]))
        if tested is not None and not some[0]["chosen"]:
            tried[tested] = outcome.loss
            others.append(outcome)
            continue
        rate = tested
        outcomes.append(outcome)
        seeds.append(int(seed))
    if rate is not None and others:
        tried[rate] = outcomes[0].loss
    first = lines[0]
    return Row(
        label,
        outcomes,
        int(first.get("subdomains", 1)),
        None if RATE in where else rate,  # then the label says it
        tried=tried,
        look=first.get("look"),
        seeds=seeds,
        sweep=Effort.of(others),
        where={"method": method, **where},
        failures=failures,
    )


def short(key: str) -> str:
    """The last word of a dotted key."""
    return key.rpartition(".")[2]


def show(value: Any) -> str:
    """A choice as people read it."""
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)

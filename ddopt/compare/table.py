"""The table of a comparison: on the terminal, as markdown, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ddopt.compare.objective import LIMITS
from ddopt.compare.score import WORK, geometric, mean, merit_of, spread
from ddopt.run import files
from ddopt.run.record import strict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ddopt.compare.score import Merit, Row
    from ddopt.setup.config import Stop

COUNTING = (
    "An evaluation is one loss with its gradient on all samples; a trial of a line search counts "
    "whole, a product with the Hessian twice, the Jacobian of a physics-informed loss three times. "
    "Evaluations are those on the longest path, one process for each of the N subdomains; *in all* "
    "is what the N processes did together. All processes run here one after the other: *cpu s* are "
    "the processor seconds of them all, measuring included."
)


WIDTH = 120  # where there is no terminal


def ranked(rows: Sequence[Row], merit: Merit) -> list[Row]:
    """The rows, the best first; what has no number comes last."""

    def key(row: Row) -> float:
        value = mean(row.values(merit.key)) if merit.higher else geometric(row.values(merit.key))
        return math.inf if math.isnan(value) else -value if merit.higher else value

    return sorted(rows, key=key)


def cells(rows: Sequence[Row], merit: Merit) -> tuple[list[str], list[list[str]]]:
    """Head and body of the table."""
    head = ["method", merit.label, "mean ± std", "training loss", "evaluations", "in all", "cpu s"]
    if merit.key == "loss":
        head[3] = "best seed"
    body = []
    for row in ranked(rows, merit):
        values, losses = row.values(merit.key), row.values("loss")
        centre = mean(values) if merit.higher else geometric(values)
        scatter = f"{merit.show(mean(values))} ± {merit.show(spread(values))}"
        body.append(
            [
                row.title,
                merit.show(centre),
                scatter if len(values) > 1 else "one seed",
                f"{min(losses) if merit.key == 'loss' else geometric(losses):.2e}",
                _count(mean(row.values("evaluations"))),
                _count(mean(row.values("evaluations_total"))),
                _seconds(row),
            ]
        )
    return head, body


def _seconds(row: Row) -> str:
    """Processor seconds of one run; those of the clock where a record is older than that."""
    worked = mean(row.values(WORK))
    return f"{mean(row.values('seconds')) if math.isnan(worked) else worked:.3g}"


def swept(row: Row) -> str:
    """How the rate of a row was chosen, and what that took."""
    took = row.sweep
    first = f" of seed {row.seeds[0]}" if row.seeds else ""
    return (
        f"{row.label}: the best of {len(row.tried)} learning rates from {min(row.tried):.1e} to "
        f"{max(row.tried):.1e}, by the training loss at the end{first}; the runs at the others are "
        f"not in the table, and took {_count(took.evaluations)} evaluations and "
        f"{took.processor_seconds:.3g} processor seconds more."
    )


def _count(evaluations: float) -> str:
    """Evaluations as people read them; of mini-batches there may be fractions."""
    return f"{evaluations:,.0f}" if evaluations >= 10.0 else f"{evaluations:.3g}"


def notes(rows: Sequence[Row], stop: Stop, seeds: Sequence[int]) -> list[str]:
    """What one must know to read the table."""
    if stop.evaluations is not None:
        limit = f"{_count(stop.evaluations)} evaluations"
    elif stop.seconds is not None:
        limit = f"{stop.seconds:g} s"
    else:
        limit = f"{stop.processor_seconds:g} processor seconds"
    merit = merit_of(rows)
    kind = "arithmetic" if merit.higher else "geometric"
    said = [
        f"Budget: {limit} for each run; seeds {', '.join(map(str, seeds))}. The last measurement "
        f"within the budget counts. The column {merit.label} has the {kind} mean over the seeds"
        f"{', training loss the geometric mean' if merit.key != 'loss' else ''}.",
        COUNTING,
    ]
    for row in rows:
        if row.tried:
            said.append(swept(row))
    return said


def markdown(rows: Sequence[Row], title: str, remarks: Sequence[str]) -> str:
    """The table as markdown."""
    head, body = cells(rows, merit_of(rows))
    lines = [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]
    return "\n".join([f"# {title}", "", *lines, "", *(f"{r}\n" for r in remarks)])


def record(
    rows: Sequence[Row], title: str, remarks: Sequence[str], ran: tuple[Stop, Sequence[int]]
) -> dict[str, Any]:
    """Everything that the table is made of; ``ran`` is the budget and the seeds."""
    merit = merit_of(rows)
    keys = (merit.key, "loss", "evaluations", "evaluations_total", "seconds", WORK)
    return {
        "title": title,
        "merit": merit.key,
        "higher_is_better": merit.higher,
        "remarks": list(remarks),
        "budget": {key: getattr(ran[0], key) for key in LIMITS},
        "seeds": list(ran[1]),
        "rows": [
            {
                "method": row.label,
                "subdomains": row.subdomains,
                "rate": row.rate,
                "look": row.look,
                "tried_rates": {f"{rate:.3e}": loss for rate, loss in row.tried.items()},
                "sweep": asdict(row.sweep),
                "mean": mean(row.values(merit.key)),
                "std": spread(row.values(merit.key)),
                "geometric_mean": geometric(row.values(merit.key)),
                "seeds": {key: row.values(key) for key in keys},
            }
            for row in ranked(rows, merit)
        ],
    }


def write(
    folder: Path,
    rows: Sequence[Row],
    title: str,
    remarks: Sequence[str],
    ran: tuple[Stop, Sequence[int]],
) -> None:
    """Write ``table.md`` and ``table.json``."""
    files.write_text(folder / "table.md", markdown(rows, title, remarks))
    found = json.dumps(strict(record(rows, title, remarks, ran)), indent=2) + "\n"
    files.write_text(folder / "table.json", found)


def show(rows: Sequence[Row], title: str) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    head, body = cells(rows, merit_of(rows))
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(head):
        table.add_column(name, justify="right" if column else "left", overflow="fold")
    for line in body:
        table.add_row(*line)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)

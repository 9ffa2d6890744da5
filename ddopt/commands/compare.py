"""``ddopt compare``: strategies and other optimizers at an equal budget."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ddopt.commands import options
from ddopt.commands.errors import INTERRUPTED, courteous
from ddopt.setup.limits import brief

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddopt.compare.score import Row
    from ddopt.setup.config import Stop

RATES = "1e-4:1:13"
MOST_RATES = 1000


@click.command("compare")
@click.argument("config", type=click.Path(path_type=Path), metavar="CONFIG")
@options.changes
@click.option(
    "--against",
    default="adam,lbfgs",
    show_default=True,
    metavar="NAMES",
    help="Baselines: adam, sgd, lbfgs, nncg, and those of plugins.",
)
@click.option(
    "--with",
    "others",
    default="",
    metavar="NAMES",
    help="More strategies; NAME:N is one with N subdomains, for example sapts_d:4.",
)
@click.option("--evaluations", type=options.Amount(), help="Budget of each run.")
@click.option("--seconds", type=options.Amount(), help="Budget in seconds.")
@click.option("--seeds", type=click.IntRange(min=1, max=10_000), default=3, show_default=True)
@click.option(
    "--rates",
    default=RATES,
    show_default=True,
    metavar="RATES",
    help="Learning rates to try: FIRST:LAST:COUNT, logarithmically spaced, or a list.",
)
@click.option(
    "--every",
    type=options.Amount(),
    help="Evaluations between two measurements; by default 1 % of the budget, or 10.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder.")
@options.plugin_files
def command(
    config: Path,
    changes: tuple[str, ...],
    against: str,
    others: str,
    evaluations: float | None,
    seconds: float | None,
    seeds: int,
    rates: str,
    every: float | None,
    out: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Compare the strategy of the run file CONFIG with baselines, at an equal budget.

    The budget is --evaluations or --seconds, otherwise that of the run file. Baselines with a
    learning rate get the best of --rates: the one with the smallest training loss at the end, on
    the first seed. Finished runs are kept in comparisons/<config name>; the same command goes on.
    """
    with courteous():
        from ddopt.compare import entry, figure, table
        from ddopt.compare.carry_out import warm
        from ddopt.compare.contest import Contest

        if evaluations is not None and seconds is not None:
            raise click.UsageError("the budget is --evaluations or --seconds; give one of them")
        ours = entry.strategies(config, changes, plugin_files, split(others))
        theirs = entry.opponents(ours[0].config, split(against))
        stop = budget(ours[0].config.stop, evaluations, seconds)
        every = every or (stop.evaluations or 1000.0) / 100
        folder = out or Path("comparisons") / config.stem
        contest = Contest(folder, stop, seeds, learning_rates(rates), every, click.echo)
        warm(ours[0].config)  # first: what cannot run leaves no folder behind
        with contest.claimed(ours[0].config):
            rows: list[Row] = []
            for one in ours:
                row = contest.strategy(one)
                if row is None:
                    click.echo("interrupted; the same command goes on from here")
                    sys.exit(INTERRUPTED)
                rows.append(row)
            rows += [contest.opponent(one) for one in theirs]
            title = f"Comparison on {config.stem}"
            first = ours[0].config.seed
            remarks = table.notes(rows, stop, range(first, first + seeds))
            table.write(folder, rows, title, remarks)
            figure.draw(folder, rows, title, seeds)
            table.show(rows, title)
            for remark in remarks:
                click.echo(remark)
    click.echo(folder)


def split(names: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def budget(configured: Stop, evaluations: float | None, seconds: float | None) -> Stop:
    """The one limit of all runs; raises ``ValueError`` if there is none."""
    from ddopt.setup.config import Stop

    if evaluations is None and seconds is None:
        evaluations = configured.evaluations
        seconds = configured.seconds if evaluations is None else None
    if evaluations is None and seconds is None:
        raise ValueError(
            "the run file has neither stop.evaluations nor stop.seconds, and runs are compared at "
            "an equal budget only: give --evaluations or --seconds"
        )
    return Stop(evaluations=evaluations, seconds=seconds)


def learning_rates(text: str) -> Sequence[float]:
    """``FIRST:LAST:COUNT`` or a list; raises ``ValueError`` with an example."""
    import numpy as np

    try:
        if ":" in text:
            first, last, count = text.split(":")
            if int(count) > MOST_RATES:
                raise ValueError(f"{count} rates")
            found = np.geomspace(float(first), float(last), int(count)).tolist()
        else:
            found = [float(one) for one in split(text)]
    except ValueError:
        found = []
    if not found or not all(0.0 < rate < float("inf") for rate in found):
        raise ValueError(f"--rates is FIRST:LAST:COUNT, like {RATES}, or a list, not {brief(text)}")
    return found

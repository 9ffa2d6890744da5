"""``ddopt compare``: strategies and other optimizers at an equal budget."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import INTERRUPTED, courteous
from ddopt.compare.terms import RATES


@click.command("compare")
@click.argument("config", type=click.Path(path_type=Path), metavar="CONFIG")
@arguments.changes
@click.option(
    "--against",
    default="adam,lbfgs",
    show_default=True,
    metavar="NAMES",
    help="Baselines: adam, sgd, lbfgs, nncg, soap, and more: ddopt plugins lists them.",
)
@click.option(
    "--with",
    "others",
    default="",
    metavar="NAMES",
    help="More strategies; NAME:N is one with N subdomains, for example sapts_d:4.",
)
@click.option("--evaluations", type=arguments.Amount(), help="Budget of each run.")
@click.option("--seconds", type=arguments.Amount(), help="Budget in seconds.")
@click.option(
    "--processor-seconds", type=arguments.Amount(), help="Budget in seconds of work, measuring too."
)
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
    type=arguments.Amount(),
    help="Evaluations between two measurements; by default 1 % of the budget, or 10.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder.")
@arguments.plugin_files
def command(
    config: Path,
    changes: tuple[str, ...],
    against: str,
    others: str,
    evaluations: float | None,
    seconds: float | None,
    processor_seconds: float | None,
    seeds: int,
    rates: str,
    every: float | None,
    out: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Compare the strategy of the run file CONFIG with baselines, at an equal budget.

    The budget is --evaluations, --seconds or --processor-seconds, otherwise that of the run file.
    Baselines with a learning rate get the best of --rates: the one with the smallest training loss
    at the end, on the first seed. Finished runs are kept in comparisons/<config name>; the same
    command goes on.
    """
    with courteous():
        from ddopt.compare.terms import ONE_BUDGET, Terms, hold, learning_rates, split
        from ddopt.setup.config import load

        budgets = (evaluations, seconds, processor_seconds)
        if len([one for one in budgets if one is not None]) > 1:
            raise click.UsageError(ONE_BUDGET)
        terms = Terms(evaluations, seconds, seeds, learning_rates(rates), every, processor_seconds)
        folder = out or Path("comparisons") / config.stem
        try:
            finished = hold(
                lambda more: load(config, [*changes, *more], plugin_files),
                folder,
                config.stem,
                terms,
                split(others),
                split(against),
                show=True,
            )
        except KeyboardInterrupt:
            finished = False
        if not finished:
            click.echo(f"interrupted; the same command goes on from here, with what is in {folder}")
            sys.exit(INTERRUPTED)
    click.echo(folder)

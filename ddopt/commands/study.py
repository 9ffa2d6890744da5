"""``ddopt study``: many runs by one file, and the table and figures that come of them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import INTERRUPTED, courteous


@click.command("study")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@arguments.folder
@arguments.workers
@arguments.retry
@click.option("--list", "listing", is_flag=True, help="List the runs, and which are over.")
@click.option(
    "--table", "only_table", is_flag=True, help="Write tables and figures of what is over."
)
@click.option(
    "--launch",
    type=click.Choice(["slurm"]),
    help="Print a script with a job for each run that is missing, and run nothing.",
)
@click.option("--only", metavar="RUN", help="Do this run alone, as --list names it.")
@arguments.plugin_files
def command(
    file: Path,
    out: Path | None,
    workers: int,
    retry: bool,
    listing: bool,
    only_table: bool,
    launch: str | None,
    only: str | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Run the study FILE: a grid over settings, problems, methods, learning rates and seeds.

    The same command goes on where it was stopped. What fails is written down with its reason, and
    the rest goes on. Results are in studies/<file name>: table.csv, table.md, table.tex, figures.
    """
    with courteous():
        from ddopt.study import settings, single

        arguments.listed(plugin_files)
        study = settings.load(file)
        folder = out or Path("studies") / file.stem
        if listing:
            for line in single.listing(study, file, folder):
                click.echo(line)
            return
        if launch:
            click.echo(single.launch(study, file, folder))
            return
        if only_table:
            click.echo(single.tables(study, file, folder))
            return
        if only:
            if not single.one(study, file, folder, only):
                interrupted(folder)
            click.echo(folder)
            return
    carry_out(file, folder, workers=workers, retry=retry)


def carry_out(file: Path, folder: Path, *, workers: int, retry: bool) -> None:
    """Hold the study of a file, and tell where its results are."""
    with courteous():
        from ddopt.study import settings
        from ddopt.study.hold import hold

        study = settings.load(file)
        try:
            finished = hold(study, file, folder, click.echo, workers=workers, retry=retry)
        except KeyboardInterrupt:
            finished = False
        if not finished:
            interrupted(folder)
    click.echo(folder)


def interrupted(folder: Path) -> None:
    """Say how it goes on, and end."""
    click.echo(f"interrupted; the same command goes on from here, with what is in {folder}")
    sys.exit(INTERRUPTED)

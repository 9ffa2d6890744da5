"""``ddopt plot``: draw the figures of runs and comparisons again, in any format."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous

FORMATS = ("png", "pdf", "svg")


@click.command("plot")
@click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN..."
)
@click.option("--format", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True)
@arguments.plugin_files
def command(folders: tuple[Path, ...], format: str, plugin_files: tuple[Path, ...]) -> None:
    """Draw the figures of each RUN again: the folder of a run, or of a comparison.

    They are written into the folder. A run that was cut off is drawn as far as it came.
    """
    with courteous():
        from ddopt.results.stored import load

        arguments.listed(plugin_files)
        for folder in folders:
            for path in load(folder).plot(format):
                click.echo(path)

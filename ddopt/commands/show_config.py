"""``ddopt show-config``: a run file with everything that it leaves to defaults."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous


@click.command("show-config")
@click.argument("config", type=click.Path(path_type=Path), metavar="CONFIG")
@arguments.changes
@arguments.plugin_files
def command(config: Path, changes: tuple[str, ...], plugin_files: tuple[Path, ...]) -> None:
    """Print the run file CONFIG, with its changes and with all defaults, as TOML."""
    with courteous():
        from ddopt.setup.config import dumps, load

        click.echo(dumps(load(config, changes, plugin_files)), nl=False)

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

plugin_files = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load a file as a plugin; it is run as Python code.",
)
processes = click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    metavar="W",
    help="Processes that share the subdomains.",
)
changes = click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")

"""Options that several commands share."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ddopt.plugins import PluginManager

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


def listed(files: Iterable[Path] = ()) -> PluginManager:
    """All plugins and those files, for a command that itself says which are broken."""
    from ddopt.plugins import PluginWarning, manager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        loaded = manager()
        for path in files:
            loaded.load_file(path)
    return loaded

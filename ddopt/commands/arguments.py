"""Arguments and options that several commands share."""

from __future__ import annotations

import logging
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddopt.commands import completion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ddopt.setup.plugins import PluginManager


class Amount(click.FloatRange):
    """A number above zero that an end can be compared with: not nan, and not without end."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; nan passes every comparison of click's."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"a finite number is expected, not {value}.", param, ctx)
        return number


def _speak(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Show the log of ddopt and its plugins, of the first process alone."""
    if value and int(os.environ.get("RANK", "0")) == 0:
        logging.basicConfig(format="%(message)s")  # to stderr
        logging.getLogger("ddopt").setLevel(logging.INFO)


verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    expose_value=False,
    callback=_speak,
    help="Say on stderr which ways of computing are chosen.",
)
plugin_files = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Load a file as a plugin; it is run as Python code.",
)
folder = click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The folder.")
workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="W",
    help="Runs at a time, each in a process of its own; take no more than this machine has cores.",
)
retry = click.option("--retry", is_flag=True, help="Run again what has failed.")
processes = click.option(
    "--processes",
    type=click.IntRange(min=1, max=1024),
    default=1,
    metavar="W",
    help="Processes that share the subdomains.",
)
changes = click.argument(
    "changes", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=completion.settings
)


def listed(files: Iterable[Path] = ()) -> PluginManager:
    """All plugins and those files, for a command that itself says which are broken."""
    from ddopt.setup.plugins import PluginWarning, manager

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        loaded = manager()
        for path in files:
            loaded.load_file(path)
    return loaded

"""``ddopt options``: every option with its default, what it takes, and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous

if TYPE_CHECKING:
    from ddopt.setup.reference import Entry, Option


@click.command("options")
@click.argument("which", required=False, default="", metavar="[SEAM|NAME]")
@arguments.plugin_files
def command(which: str, plugin_files: tuple[Path, ...]) -> None:
    """Print the options of a component, or of all components of a seam.

    SEAM is a kind of component, like solver or problem; NAME is one of them, like lsr1 or
    poisson2d. With neither, the keys of a run file are printed, and the names of each seam.
    """
    with courteous():
        from ddopt.setup.config import RunConfig
        from ddopt.setup.reference import entries, options_of

        arguments.listed(plugin_files)
        if which:
            for one in entries(which):
                click.echo(described(one))
            return
        click.echo(f"run file\n{lines(options_of(RunConfig))}\n")
        by_seam: dict[str, list[str]] = {}
        for seam, name, _ in arguments.listed().registry:
            by_seam.setdefault(seam, []).append(name)
        for seam, names in by_seam.items():
            click.echo(click.wrap_text(f"{seam}: {', '.join(names)}", 78, "", "    "))
        click.echo("\nddopt options NAME prints the options of one, ddopt options SEAM of all.")


def described(entry: Entry) -> str:
    """A component and its options."""
    head = f"{entry.seam} {entry.name}  (from {entry.provider.partition(' ')[0]})"
    if entry.trouble:
        return f"{head}\n    cannot be used: {entry.trouble}\n"
    body = lines(entry.options) or "    no options"
    return f"{head}\n{click.wrap_text(entry.sentence, 78, '    ', '    ')}\n\n{body}\n"


def lines(options: list[Option]) -> str:
    """The options, each with its default on one line and its meaning beneath."""
    found = []
    for option in options:
        default = "must be given" if option.required else option.default or "not set"
        found.append(f"    {option.key} = {default}    [{option.allowed}]")
        found.append(click.wrap_text(option.meaning, 78, " " * 8, " " * 8))
    return "\n".join(found)

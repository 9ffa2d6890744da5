"""``ddopt problems``: what can be trained."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous


@click.command("problems")
@arguments.plugin_files
def command(plugin_files: tuple[Path, ...]) -> None:
    """List the problems that a run file can name."""
    with courteous():
        from ddopt.setup.plugins import manager

        loaded = manager()
        for path in plugin_files:
            loaded.load_file(path)
        names = loaded.registry.names("problem")
        if not names:
            click.echo("No problem is registered; see ddopt plugins.")
        width = max(map(len, names), default=0)
        for name in names:
            click.echo(f"{name:<{width}}  {_sentence(name)}")


def _sentence(name: str) -> str:
    """The first line of a problem's docstring, or why it cannot be used."""
    from ddopt.setup.component import lookup

    try:
        found = lookup("problem", name)
    except ValueError as error:
        return f"({error})"
    return (found.__doc__ or "").strip().partition("\n")[0]

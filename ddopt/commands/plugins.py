"""``ddopt plugins``: every plugin, what it registers, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous

if TYPE_CHECKING:
    from ddopt.setup.plugins import PluginManager


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@arguments.plugin_files
def command(as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """List plugins, with their version, their hooks and the names that they register."""
    with courteous():
        rows = describe(arguments.listed(plugin_files))
        click.echo(json.dumps(rows, indent=2)) if as_json else show(rows)


def describe(loaded: PluginManager) -> list[dict[str, Any]]:
    """One record per plugin."""
    return [
        {
            "name": plugin.name,
            "distribution": plugin.distribution or None,
            "version": plugin.version or None,
            "hooks": loaded.hooks(plugin),
            "components": [{"seam": seam, "name": name} for seam, name in plugin.components],
            "status": plugin.status,
            "reason": plugin.reason or None,
        }
        for plugin in loaded.plugins
    ]


def _short(name: str) -> str:
    """A file as it is called from here."""
    path = Path(name)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else name


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_lines=True)
    for column in ("plugin", "distribution", "hooks", "registers", "status"):
        table.add_column(column, overflow="fold")
    for row in rows:
        by_seam: dict[str, list[str]] = {}
        for component in row["components"]:
            by_seam.setdefault(component["seam"], []).append(component["name"])
        names = "\n".join(f"{seam}: {', '.join(names)}" for seam, names in by_seam.items())
        origin = f"{row['distribution'] or 'a file'} {row['version'] or ''}".strip()
        status = f"broken: {row['reason']}" if row["reason"] else "ok"
        hooks = "\n".join(hook.removeprefix("ddopt_") for hook in row["hooks"])
        table.add_row(_short(row["name"]), origin, hooks, names, status)
    Console(markup=False, highlight=False).print(table)

"""``ddopt schema``: the JSON schema of run files, for completion and checks in an editor."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous


@click.command("schema")
@arguments.plugin_files
def command(plugin_files: tuple[Path, ...]) -> None:
    """Print the JSON schema of run files, with every component that is installed.

    Save it, and name it in the first line of a run file: #:schema ./ddopt.schema.json
    """
    with courteous():
        from ddopt.setup.schema import schema

        arguments.listed(plugin_files)
        click.echo(json.dumps(schema(), indent=1, ensure_ascii=False))

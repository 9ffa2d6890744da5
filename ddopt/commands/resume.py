"""``ddopt resume``: continue a run from its last checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous
from ddopt.commands.run import carry_out, launch


@click.command("resume")
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@arguments.changes
@arguments.processes
@arguments.verbose
@arguments.plugin_files
def command(
    folder: Path, changes: tuple[str, ...], processes: int, plugin_files: tuple[Path, ...]
) -> None:
    """Continue the run in the folder RUN from its last checkpoint, with the same bits.

    Only stop.* and output.* can be changed, for example stop.iterations=500.
    """
    with courteous():
        from ddopt.run.folder import load_again, refuse_taken

        settings = load_again(folder, changes, plugin_files)
        if processes > 1:
            refuse_taken(folder)  # told once, and not by every process
            launch(processes)
            return
        carry_out(settings, folder, resume=True)

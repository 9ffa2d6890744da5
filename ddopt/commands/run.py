"""``ddopt run``: train what a run file describes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ddopt.commands import arguments
from ddopt.commands.errors import INTERRUPTED, NOT_FINITE, UserError, courteous

if TYPE_CHECKING:
    from ddopt.setup.config import RunConfig


@click.command("run")
@click.argument("config", type=click.Path(path_type=Path), metavar="CONFIG")
@arguments.changes
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="The run folder.")
@arguments.processes
@arguments.verbose
@arguments.plugin_files
@click.option("--dry-run", is_flag=True, help="Set everything up, take one step, write nothing.")
@click.option(
    "--resume", type=click.Path(path_type=Path), metavar="DIR", help="Continue the run in DIR."
)
def command(
    config: Path,
    changes: tuple[str, ...],
    out: Path | None,
    processes: int,
    plugin_files: tuple[Path, ...],
    dry_run: bool,
    resume: Path | None,
) -> None:
    """Train what the run file CONFIG describes.

    KEY=VALUE changes one setting, for example strategy.subdomains=4 or strategy=trust_region. The
    results go to runs/<config name>-<time>; the last line that is printed is that folder.
    """
    with courteous():
        from ddopt.run.folder import begun, load_again, new_path, refuse_changes, refuse_taken
        from ddopt.setup.config import load

        if out is not None and resume is not None:
            raise click.UsageError("--out starts a run, --resume continues one; give one of them")
        settings = load(config, changes, plugin_files)
        if resume is not None:
            refuse_changes(resume, load_again(resume), settings)
        elif restarted() and not dry_run:
            resume = begun(config, out, settings)
        if processes > 1:
            refuse_taken(resume or new_path(config, out))  # told once, and not by every process
            launch(processes)
            return
        if dry_run:
            rehearse(settings)
            return
        carry_out(settings, resume or new_path(config, out), resume=resume is not None)


def restarted() -> bool:
    """Whether a launcher has started this process anew, as torchrun --max-restarts does."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def carry_out(settings: RunConfig, path: Path, *, resume: bool) -> None:
    """Train, and say how it ended; the folder's path is the last line."""
    from ddopt.run.execution import execute
    from ddopt.run.folder import Folder
    from ddopt.run.stopping import StopReason

    folder = Folder(path)
    reason = execute(settings, folder, resume=resume)
    first = int(os.environ.get("RANK", "0")) == 0
    if first:
        from ddopt.run.report import closing

        if folder.complete:
            click.echo("\nNothing was left to do: the run had ended before, as it says below.")
        click.echo(closing(path))
        if reason is StopReason.INTERRUPTED:
            click.echo(f"to go on: ddopt resume {path}")
        click.echo(path)
    if reason is StopReason.INTERRUPTED:
        sys.exit(INTERRUPTED)
    if reason.failed and first:  # torch would stop the others
        sys.exit(NOT_FINITE)


def rehearse(settings: RunConfig) -> None:
    """One iteration that leaves nothing behind."""
    from ddopt.run.execution import execute
    from ddopt.setup.config import Stop

    once = settings.model_copy(update={"stop": Stop(iterations=1)})
    execute(once, None)
    if int(os.environ.get("RANK", "0")) == 0:
        click.echo("The problem, the method and one iteration work; nothing was written.")


def launch(processes: int) -> None:
    """Start this very command in so many processes, with torchrun's own launcher."""
    from ddopt.executor.backends import SignalException
    from ddopt.executor.launch import launch as start

    arguments, skip = [], False
    for argument in sys.argv[1:]:
        if skip or argument == "--processes" or argument.startswith("--processes="):
            skip = argument == "--processes" and not skip
            continue
        arguments.append(argument)
    try:
        start(arguments, processes, told=(UserError.exit_code, NOT_FINITE, INTERRUPTED))
    except SignalException:
        sys.exit(INTERRUPTED)  # the processes have had the signal, and have written their state
    except RuntimeError as error:
        raise click.ClickException(str(error)) from error

"""The whole extension surface of ddopt: what a plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from ddopt.method.report import StepReport

hookspec = pluggy.HookspecMarker("ddopt")
hookimpl = pluggy.HookimplMarker("ddopt")


@hookspec
def ddopt_register(register: Any) -> None:
    """Register components: ``register(MyClass)``; the seam is read off the class."""


@hookspec
def ddopt_add_commands(group: click.Group) -> None:
    """Add subcommands to the ``ddopt`` command line."""


@hookspec
def ddopt_configure(table: dict[str, Any]) -> None:
    """Change the table of a run file before it is checked and frozen."""


@hookspec
def ddopt_before_run(run: Any) -> None:
    """Observe a run before its first iteration."""


@hookspec
def ddopt_after_step(run: Any, report: StepReport) -> None:
    """Observe each outer iteration; called on every process, in the same order."""


@hookspec
def ddopt_on_checkpoint(run: Any, path: Path | None, restored: bool) -> None:
    """Observe a checkpoint that has been written, or that a run has been restored from."""


@hookspec
def ddopt_on_error(run: Any, error: Exception) -> None:
    """Observe the exception that ends a run; it is raised on afterwards."""


@hookspec
def ddopt_after_run(run: Any, summary: dict[str, Any]) -> None:
    """Observe the end of a run, whatever its reason."""

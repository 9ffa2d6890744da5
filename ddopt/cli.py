"""The ``ddopt`` command: a command is imported when it is named."""

from __future__ import annotations

import difflib
import warnings
from importlib import import_module
from typing import Any

import click

from ddopt.commands.errors import INTERRUPTED
from ddopt.setup.limits import brief

COMMANDS = {
    "init": "Write a run file to begin with.",
    "run": "Train what a run file describes.",
    "resume": "Continue a run from its last checkpoint.",
    "compare": "Compare strategies with other optimizers at an equal budget.",
    "study": "Run many settings, problems, methods and seeds by one file.",
    "bench": "Run a study that comes with ddopt, like pinn.",
    "plot": "Draw the figures of runs and comparisons again.",
    "show-config": "Print a run file with everything that it leaves to defaults.",
    "plugins": "List plugins, and the names that they register.",
    "problems": "List the problems that can be trained.",
    "options": "Print every option, with its default and its meaning.",
    "schema": "Print the JSON schema of run files, for editors.",
    "new-plugin": "Write a small plugin that passes its own tests.",
    "doctor": "Show versions, devices, and what is missing.",
}


class Commands(click.Group):
    """The built-in commands by name, and those of plugins."""

    _extended = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The built-in commands, then those of plugins."""
        self._extend()
        return [*COMMANDS, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a built-in command, or ask the plugins."""
        if name in COMMANDS:
            module = name.replace("-", "_")
            command: click.Command = import_module(f"ddopt.commands.{module}").command
            return command
        self._extend()
        return self.commands.get(name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing those of the core."""
        names = self.list_commands(ctx)
        rows = [(n, COMMANDS.get(n) or self.commands[n].get_short_help_str(99)) for n in names]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Offer the nearest name for one that is unknown."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            ctx.fail(f"there is no command {brief(name)}.{hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C that nobody caught ends with the exit code that shells give it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted; ddopt resume RUN goes on from the last checkpoint", err=True)
            ctx.exit(INTERRUPTED)

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a plugin's command; the names of the core are taken."""
        if not isinstance(cmd, click.Command):
            raise ValueError(f"a command must be a click.Command, not {brief(cmd)}")
        name = name or cmd.name
        if name in COMMANDS or name in self.commands:
            raise ValueError(f"there is a command {name!r} already")
        super().add_command(cmd, name)

    def _extend(self) -> None:
        if not self._extended:
            self._extended = True
            from ddopt.setup.plugins import manager

            manager().call("ddopt_add_commands", group=self)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddopt", prog_name="ddopt")
def cli() -> None:
    """Train networks by domain decomposition and trust regions, with no learning rate."""


def main() -> None:
    """Run the command line; a warning is one line, and torch's are for who calls torch."""
    warnings.filterwarnings("ignore", module=r"torch(\.|$)")
    warnings.showwarning = _show_warning
    cli(prog_name="ddopt")


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)

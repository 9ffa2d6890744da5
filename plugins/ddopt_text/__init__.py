"""Language modelling: a character GPT on TinyShakespeare or any other text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddopt.setup.hookspecs import hookimpl

if TYPE_CHECKING:
    import click

TASKS = {
    "shakespeare": "ddopt_text.language:Shakespeare",
    "text": "ddopt_text.language:TextFile",
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register the tasks; each is imported when a run names it."""
    for name, where in TASKS.items():
        register(where, seam="problem", name=name)


@hookimpl
def ddopt_add_commands(group: click.Group) -> None:
    """Add ``ddopt sample``."""
    from ddopt_text.sample import command

    group.add_command(command)

"""``ddopt new-plugin``: a plugin to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands.errors import courteous


@click.command("new-plugin")
@click.argument("name")
@click.option("--kind", default="decomposition", show_default=True, help="What it brings.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where its folder is made; by default here.",
)
def command(name: str, kind: str, out: Path) -> None:
    """Write a small plugin called NAME, which passes its own tests: a module, a test, a run.

    Kinds: acceptance, baseline, command, decomposition, executor, hessian, hook, problem, radius,
    recombination, sampling, solver, strategy, subproblem.
    """
    with courteous():
        from ddopt.setup.scaffold import write

        folder, trial = write(name, kind, out)
    click.echo(f"{folder} is a plugin. Try it:\n\n  cd {folder}\n  python -m pytest\n  {trial}\n")
    if "--plugin" in trial:
        click.echo("Once it is installed (pip install .), leave out --plugin.\n")

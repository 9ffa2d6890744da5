"""``ddopt sample``: let a trained language model write."""

from __future__ import annotations

from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous


@click.command("sample")
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--prompt", default="\n", help="What the text begins with; by default a new line.")
@click.option(
    "--characters", type=click.IntRange(min=1), default=500, show_default=True, help="How many."
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0.0),
    default=0.8,
    show_default=True,
    help="0 always takes the likeliest character; 1 follows the learned chances.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choices.")
@arguments.plugin_files
def command(
    folder: Path,
    prompt: str,
    characters: int,
    temperature: float,
    seed: int,
    plugin_files: tuple[Path, ...],
) -> None:
    """Print text by the model that was trained in the folder RUN."""
    with courteous():
        from ddopt.run.trained import trained

        task, theta = trained(folder, plugin_files)
        if not hasattr(task, "generate"):
            raise ValueError(f"{folder} trained {task.name!r}, which writes no text")
        click.echo(task.generate(theta, prompt, characters, temperature, seed))

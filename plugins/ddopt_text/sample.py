"""``ddopt sample``: let a trained language model write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddopt.commands import options
from ddopt.commands.errors import courteous

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


@click.command("sample")
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--prompt", default="\n", help="What the text begins with.")
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
@options.plugin_files
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
        task, theta = trained(folder, plugin_files)
        if not hasattr(task, "generate"):
            raise ValueError(f"{folder} trained {task.name!r}, which writes no text")
        click.echo(task.generate(theta, prompt, characters, temperature, seed))


def trained(folder: Path, plugin_files: Sequence[Path] = ()) -> tuple[Any, torch.Tensor]:
    """The prepared task of a run, and the parameters of its last checkpoint, on the CPU."""
    import torch

    from ddopt.run import checkpoint, shards
    from ddopt.run.folder import load_again
    from ddopt.task import Setting

    config = load_again(folder, (), plugin_files)
    state = checkpoint.load(folder)
    if state is None:
        raise ValueError(f"{folder} has no checkpoint yet; let the run end, or save more often")
    task: Any = config.problem.build()
    task.prepare(Setting(config.seed, getattr(torch, config.dtype)))
    return task, shards.parameters(folder, state)

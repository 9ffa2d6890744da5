"""A run in Weights & Biases; ``WANDB_PROJECT`` and ``WANDB_MODE=offline`` are its own variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import wandb

if TYPE_CHECKING:
    from pathlib import Path


class WeightsAndBiases:
    """A run of theirs, kept in the run's folder; its number too, for a run that is resumed."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        kept = folder / "wandb_run.txt"
        before = kept.read_text(encoding="utf-8") if kept.exists() else None
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "ddopt"),
            name=folder.name,
            config=options,
            dir=str(folder),
            id=before,
            resume="allow",
        )
        kept.write_text(self._run.id, encoding="utf-8")

    def log(self, iteration: int, numbers: dict[str, float]) -> None:
        """Send the numbers of an iteration."""
        self._run.log(numbers, step=iteration)

    def end(self, failed: bool) -> None:
        """Say how it ended."""
        self._run.finish(exit_code=int(failed))

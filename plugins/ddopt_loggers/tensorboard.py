"""A run in TensorBoard: ``tensorboard --logdir runs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """Event files in the folder ``tensorboard`` of the run's folder."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        import torch.utils.tensorboard  # noqa: F401 - what is missing is told before the run

        self._folder, self._options = folder / "tensorboard", options
        self._writer: SummaryWriter | None = None

    def log(self, iteration: int, numbers: dict[str, float]) -> None:
        """Write the numbers of an iteration; what was written from it on before is dropped."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=iteration)
            rows = "\n".join(f"    {key} = {one}" for key, one in self._options.items())
            self._writer.add_text("options", rows, iteration)
        for key, one in numbers.items():
            self._writer.add_scalar(key, one, iteration)

    def end(self, failed: bool) -> None:
        """Write what is waiting."""
        if self._writer is not None:
            self._writer.close()

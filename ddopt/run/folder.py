"""The run folder: what one run leaves behind, written by rank 0 alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ddopt.run import files, record
from ddopt.run.progress import Progress
from ddopt.setup.config import RunConfig, dumps, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONFIG, BEST = "config.toml", "best.pt"
FREE = ("stop", "output")  # what a resumed run may change without changing its bits


class Folder:
    """``config.toml``, ``metrics.jsonl``, ``summary.json``, checkpoints and figures of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._record: record.Record | None = None
        self._progress: Progress | None = None
        self.complete = False  # whether the run had ended before: nothing was left to do

    def open(self, config: RunConfig, iteration: int) -> None:
        """Begin to write; what was recorded after ``iteration`` is dropped (-1: everything).

        Raises:
            ValueError: the folder cannot be made, for example because the path is a file.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"cannot make the run folder {self.path}: {error.strerror}; choose another (--out)"
            ) from None
        files.write_text(self.path / CONFIG, dumps(config))
        record.cut(self.path, iteration)
        self._progress = Progress(config.stop)

    def settle(self, measured: dict[str, float]) -> None:
        """Let the last line be that of a run which ends there, or goes on: ``{}``."""
        record.settle(self.path, measured)

    def write(self, line: dict[str, Any]) -> None:
        """Record one line, and show it."""
        assert self._progress is not None, "open() comes first"
        if self._record is None:
            self._record = record.Record(self.path)
        self._record.write(line)
        self._progress.show(line)

    def close(self) -> None:
        """End the record and the display."""
        if self._record is not None:
            self._record.close()
        if self._progress is not None:
            self._progress.close()

    def discard(self) -> None:
        """Take back what ``open`` made, for a run that could not take its first step."""
        self.close()
        for name in (CONFIG, record.METRICS):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def finish(self, summary: dict[str, Any], best: dict[str, Any]) -> None:
        """Write the summary, and the best parameters where they were kept."""
        record.write_summary(self.path, summary)
        if best:
            files.write(self.path / BEST, lambda stream: torch.save(best, stream))

    def summary(self) -> dict[str, Any] | None:
        """What the summary says, where there is one."""
        return record.summary(self.path)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines recorded so far."""
        return record.read(self.path)


def new_path(config_file: Path, out: Path | None) -> Path:
    """Where a new run goes: ``out``, or ``runs/<config name>-<time>``.

    Raises ``ValueError`` if there is a run already.
    """
    if out is not None:
        if (out / record.METRICS).exists():
            raise ValueError(
                f"{out} holds a run already; continue it with: ddopt resume {out}, or choose "
                "another folder"
            )
        return out
    stem = f"{config_file.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 100)))
    return next(path for name in names if not (path := Path("runs") / name).exists())


def load_again(
    path: Path, changes: Sequence[str] = (), plugin_files: Iterable[str | Path] = ()
) -> RunConfig:
    """The config of a run that is resumed, with a longer ``stop`` or another ``output``.

    Raises ``ValueError`` if there is no run, or if a change would give other bits.
    """
    if not (path / CONFIG).exists():
        raise ValueError(f"{path} holds no run: there is no {CONFIG} in it")
    config = load(path / CONFIG, changes, plugin_files)
    refuse_changes(path, load(path / CONFIG, (), plugin_files), config)
    return config


def refuse_changes(path: Path, before: RunConfig, now: RunConfig) -> None:
    """Raise ``ValueError`` naming what differs between a run and what shall continue it."""
    free = {*FREE, "plugins"}
    changed = [
        key
        for key in RunConfig.model_fields
        if key not in free and getattr(before, key) != getattr(now, key)
    ]
    if changed:
        raise ValueError(
            f"the run in {path} was made with another {', '.join(changed)}; a resumed run may only "
            f"change {' and '.join(FREE)}, so start a new one for this"
        )

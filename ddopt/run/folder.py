"""The run folder: what one run leaves behind, written by rank 0 alone."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ddopt.run import checkpoint, files, record
from ddopt.run.lock import Lock
from ddopt.setup.config import FREE, ConfigError, RunConfig, dumps, load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ddopt.run.progress import Display

CONFIG, BEST = "config.toml", "best.pt"


class Folder:
    """``config.toml``, ``metrics.jsonl``, ``summary.json``, checkpoints and figures of a run."""

    def __init__(self, path: Path, display: Display | None = None) -> None:
        """``display`` shows the lines instead of the table of a run."""
        self.path = path
        self._record: record.Record | None = None
        self._display = display
        self._lock: Lock | None = None
        self.complete = False  # whether the run had ended before: nothing was left to do

    @contextmanager
    def claimed(self, *, fresh: bool) -> Iterator[None]:
        """Nobody else writes here meanwhile; for a ``fresh`` run the folder must hold none.

        Raises:
            ValueError: the folder cannot be made, for example because the path is a file; or it is
                another run's, which may be going on.
        """
        made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"cannot make the run folder {self.path}: {error.strerror}; choose another (--out)"
            ) from None
        self._lock = Lock(self.path)
        try:
            if fresh:
                refuse_run(self.path)
            checkpoint.tidy(self.path)
            yield
        finally:
            self._lock.release()
            if made and not any(self.path.iterdir()):
                self.path.rmdir()

    def open(self, config: RunConfig, iteration: int) -> None:
        """Begin to write; what was recorded after ``iteration`` is dropped (-1: everything)."""
        from ddopt.run.notebook import display_of  # with rich, which a rehearsal spares

        self.path.mkdir(parents=True, exist_ok=True)
        files.write_text(self.path / CONFIG, dumps(config))
        record.cut(self.path, iteration)
        self._display = self._display or display_of(config.stop)

    def settle(self, measured: dict[str, float]) -> None:
        """Let the last line be that of a run which ends there, or goes on: ``{}``."""
        record.settle(self.path, measured)

    def write(self, line: dict[str, Any]) -> None:
        """Record one line, and show it."""
        assert self._display is not None, "open() comes first"
        if self._record is None:
            self._record = record.Record(self.path)
        self._record.write(line)
        self._display.show(line)

    def close(self) -> None:
        """End the record and the display."""
        if self._record is not None:
            self._record.close()
        if self._display is not None:
            self._display.close()

    def discard(self) -> None:
        """Take back what ``open`` made, for a run that could not take its first step."""
        self.close()
        for name in (CONFIG, record.METRICS):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def seal(self) -> dict[str, Any]:
        """What a checkpoint keeps of the record so far, which is on the disk then."""
        assert self._record is not None, "open() comes first"
        return self._record.seal()

    def finish(self, summary: dict[str, Any], best: dict[str, Any]) -> None:
        """Write the best parameters where they were kept, and the summary.

        The summary comes last: where it is, a resumed run has nothing left to do.
        """
        if best:
            files.write(self.path / BEST, lambda stream: torch.save(best, stream))
        record.write_summary(self.path, summary)

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
        refuse_run(out)
        return out
    stem = f"{config_file.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 100)))
    return next(path for name in names if not (path := Path("runs") / name).exists())


def refuse_run(path: Path) -> None:
    """Raise ``ValueError`` if there is a run in a folder."""
    if (path / record.METRICS).exists():
        raise ValueError(
            f"{path} holds a run already; continue it with: ddopt resume {path}, or choose "
            "another folder"
        )


def refuse_taken(path: Path) -> None:
    """Raise ``ValueError`` if a run is going on in a folder."""
    if path.is_dir():
        Lock(path).release()


def begun(config_file: Path, out: Path | None, config: RunConfig) -> Path | None:
    """The folder of this very run, where a launcher has started its processes again.

    It is ``out``, or the newest unfinished run with the same settings; None if there is none yet.
    """
    places = [out] if out is not None else sorted(Path("runs").glob(f"{config_file.stem}-*"))
    for path in reversed(places):
        try:
            same = load(path / CONFIG) == config
        except ConfigError:
            continue
        if same and (out is not None or not (path / record.SUMMARY).exists()):
            return path
    return None


def load_again(
    path: Path, changes: Sequence[str] = (), plugin_files: Iterable[str | Path] = ()
) -> RunConfig:
    """The config of a run that is resumed, with a longer ``stop`` or another ``output``.

    Raises ``ValueError`` if there is no run, or if a change would give other bits.
    """
    if not (path / CONFIG).exists():
        raise ValueError(f"{path} holds no run: there is no {CONFIG} in it")
    config = load(path / CONFIG, changes, plugin_files, recorded=True)
    refuse_changes(path, load(path / CONFIG, (), plugin_files, recorded=True), config)
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

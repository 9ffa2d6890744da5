"""A campaign: all runs of some cells, one after the other or several at once, and the time left."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import tomli_w

from ddopt.compare.objective import LIMITS
from ddopt.compare.score import MERITS, read
from ddopt.compare.ticker import Ticker
from ddopt.run import files
from ddopt.run.lock import Lock
from ddopt.run.progress import duration
from ddopt.setup.config import plain
from ddopt.study.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from ddopt.study.cell import Cell
    from ddopt.study.job import Job


@contextmanager
def claimed(folder: Path, name: str, settings: dict[str, Any]) -> Iterator[None]:
    """The folder belongs to what these settings say, and meanwhile to this process.

    Raises ``ValueError`` if it belongs to something else.
    """
    text, path = tomli_w.dumps(plain(settings)), folder / name
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{folder} holds a comparison on something else: see {name} in it; give another folder "
            "with --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder)
    try:
        files.write_text(path, text)
        yield
    finally:
        lock.release()


class Campaign:
    """Runs what is missing of some cells.

    A failure ends the campaign by its exception, or is ``kept``: written down with its reason, and
    the other runs go on. ``workers`` are the processes that they are run in, 0: this one.
    """

    def __init__(
        self, cells: Sequence[Cell], say: Callable[[str], None], *, workers: int = 0, keep: bool
    ) -> None:
        self.cells, self._say, self._keep = cells, say, keep
        self._workers = workers
        self._all = sum(cell.most for cell in cells)
        self._over = 0
        self._times: list[float] = []  # seconds of each that was run now

    def run(self) -> bool:
        """Run all that is missing; False if it was interrupted.

        A cell whose rate is chosen by its first runs has its others in a second round.
        """
        told: set[Path] = set()
        while True:
            known = [job for cell in self.cells for job in [*cell.sweep(), *cell.runs()]]
            once = {job.folder: job for job in known}  # the best rate's first run is in both
            jobs = [job for folder, job in once.items() if folder not in told]
            jobs.sort(key=lambda job: job.config.seed)  # so that half a campaign has all its rows
            if not jobs:
                return True
            told |= {job.folder for job in jobs}
            for job in jobs:
                job.refuse_other()
            due = [job for job in jobs if not job.done]
            for job in jobs:
                if job.done:
                    self._tell(job, kept=True)
            if not (self._together(due) if self._workers else self._alone(due)):
                return False

    def _alone(self, jobs: Sequence[Job]) -> bool:
        """Run them in this process."""
        for job in jobs:
            began, ticker = perf_counter(), Ticker(self._title(job), job.config.stop)
            try:
                if not job.perform(ticker):
                    return False
            except Exception as error:
                if not self._keep:
                    raise
                job.fail(error)
            self._times.append(perf_counter() - began)
            self._tell(job)
        return True

    def _together(self, jobs: Sequence[Job]) -> bool:
        """Run several at once, each in a process that goes on to the next."""
        with Workers(self._workers) as workers:
            for job, seconds, error in workers.run(jobs):
                if error is not None:
                    if not self._keep:
                        raise ValueError(f"{job.label}: {error}")
                    job.fail(error)
                elif not job.done:
                    return False
                self._times.append(seconds)
                self._tell(job)
        return True

    def _title(self, job: Job) -> str:
        return f"[{self._over + 1} of {self._all}] {job.label}"

    def _tell(self, job: Job, *, kept: bool = False) -> None:
        self._over += 1
        end = " (kept)" if kept else ""
        head = f"[{self._over} of {self._all}{self._left()}] {job.label}: "
        if job.failure is not None:
            self._say(f"{head}failed: {job.failure}{end}")
            return
        outcome = read(job.folder, job.config.stop)
        merit = next(merit for merit in MERITS if merit.key in outcome.lines[0])
        early = "" if outcome.reason in LIMITS else f", stop reason {outcome.reason}"
        self._say(
            f"{head}{merit.label} {merit.show(outcome.last(merit.key))}, loss "
            f"{outcome.last('loss'):.2e}, {outcome.last('evaluations'):.6g} evaluations, "
            f"{outcome.last('seconds'):.3g} s{early}{end}"
        )

    def _left(self) -> str:
        """How long the rest will take, if it takes as long as what has been run."""
        rest = self._all - self._over
        if not self._times or rest <= 0:
            return ""
        each = sum(self._times) / len(self._times) / max(1, self._workers)
        return f", about {duration(rest * each)} left"

"""Worker processes: each takes a job, does it, and asks for the next. One that dies is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import wait
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ddopt.compare.carry_out import warm
from ddopt.study.job import heard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.connection import Connection
    from types import TracebackType

    from ddopt.study.job import Job

PATIENCE = 60.0  # seconds that a worker has to save what it was doing


class Quiet:
    """A ticker that shows nothing: several would write over each other."""

    def show(self, line: dict[str, Any]) -> None:
        """Leave it out."""

    def close(self) -> None:
        """Nothing is open."""


def serve(connection: Connection) -> None:
    """Do jobs until there are none; the answer is the reason of a failure, or None.

    Runs in the process of a worker.
    """
    warmed = False
    while (told := connection.recv()) is not None:
        job = heard(told)
        try:
            if not warmed:
                warm(job.config)
            warmed = True
            job.perform(Quiet())  # type: ignore[arg-type]
            connection.send(None)
        except KeyboardInterrupt:
            return
        except Exception as error:
            connection.send(job.fail(error))


class Worker:
    """A process and the job that it is at."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other,), daemon=True)
        self.process.start()
        other.close()
        self.job: Job | None = None
        self.began = 0.0

    def give(self, job: Job) -> None:
        """Hand it a job."""
        self.job, self.began = job, perf_counter()
        self.connection.send(job.told())

    def answer(self) -> str | None:
        """Why its job failed, if it did; a process that has died says it by its exit code."""
        try:
            found: str | None = self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            return f"its process died ({name})"
        return found


class Workers:
    """Some processes that share a list of jobs."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._all: list[Worker] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, float, str | None]]:
        """Do the jobs; yields each when it is over, with its seconds and why it failed, if so."""
        waiting = list(reversed(jobs))
        self._all = [Worker() for _ in range(min(self._count, len(waiting)))]
        for worker in self._all:
            worker.give(waiting.pop())
        while busy := {one.connection: one for one in self._all if one.job is not None}:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                job, seconds, reason = worker.job, perf_counter() - worker.began, worker.answer()
                worker.job = None
                assert job is not None
                if not worker.process.is_alive() and waiting:
                    self._all[self._all.index(worker)] = worker = Worker()
                if waiting:
                    worker.give(waiting.pop())
                yield job, seconds, reason

    def __enter__(self) -> Workers:
        """Start nothing yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Let those that have nothing to do go, and those that have save it."""
        for worker in self._all:
            if worker.job is not None and worker.process.pid is not None:
                os.kill(worker.process.pid, signal.SIGINT)
            elif worker.process.is_alive():
                worker.connection.send(None)
        for worker in self._all:
            worker.process.join(PATIENCE)
            if worker.process.is_alive():
                worker.process.terminate()


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

"""Runs of a study one by one: to list them, to launch them elsewhere, to do one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.compare.ticker import Ticker
from ddopt.setup.registry import nearest
from ddopt.study import slurm
from ddopt.study.hold import write
from ddopt.study.plan import cells

if TYPE_CHECKING:
    from pathlib import Path

    from ddopt.study.job import Job
    from ddopt.study.settings import Study


def jobs(study: Study, file: Path, folder: Path) -> dict[str, Job]:
    """All runs that are known by now, by their places in the folder.

    Those of a method whose rate is not chosen yet are its rates on the first seed.
    """
    found = {}
    for cell in cells(study, file, folder):
        for job in [*cell.sweep(), *cell.runs()]:
            found[job.folder.relative_to(folder).as_posix()] = job
    return found


def listing(study: Study, file: Path, folder: Path) -> list[str]:
    """A line for each run: its place, and what has become of it."""
    lines = []
    for name, job in jobs(study, file, folder).items():
        state = f"failed: {job.failure}" if job.failure else "done" if job.done else "missing"
        lines.append(f"{name}  {state}")
    return lines


def launch(study: Study, file: Path, folder: Path) -> str:
    """An sbatch script of what is missing.

    Where learning rates are tried, the same command prints the remaining seeds once those are done.
    Raises ``ValueError`` where nothing is missing.
    """
    missing = [job for job in jobs(study, file, folder).values() if not job.done]
    if not missing:
        raise ValueError(f"nothing of the study is missing in {folder}; --table writes its tables")
    return slurm.script(missing, file, folder)


def one(study: Study, file: Path, folder: Path, name: str) -> bool:
    """Do one run, wherever that is; False if it was interrupted.

    Raises ``ValueError`` with the nearest name for one that is unknown.
    """
    known = jobs(study, file, folder)
    if name not in known:
        raise ValueError(f"the study has no run {name!r}.{nearest(name, known)} --list names them")
    job = known[name]
    job.refuse_other()
    if job.done:
        return True
    try:
        return job.perform(Ticker(job.label, job.config.stop))
    except Exception as error:
        job.fail(error)
        raise


def tables(study: Study, file: Path, folder: Path) -> str:
    """Write tables and figures of the runs that are over; returns the table in markdown."""
    return write(study, cells(study, file, folder), folder, study.title or file.stem)

"""Hold a study: run what is missing, then write the tables and draw the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.compare.carry_out import warm
from ddopt.study import report, tidy
from ddopt.study.campaign import Campaign, claimed
from ddopt.study.plan import cells
from ddopt.study.workers import cores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ddopt.study.cell import Cell
    from ddopt.study.settings import Study

CLAIM = "study.toml"


def hold(
    study: Study,
    file: Path,
    folder: Path,
    say: Callable[[str], None],
    *,
    workers: int = 1,
    retry: bool = False,
) -> bool:
    """Run all that is missing in ``folder``, and write what came of it; False if interrupted.

    As many processes as there are ``workers``, or cores, take a run each; with one worker this
    process runs them all. Failures are kept with their reasons; with ``retry`` they are run again.
    """
    found = cells(study, file, folder)
    if workers == 1:
        warm(found[0].entry.config)
    with claimed(folder, CLAIM, study.model_dump(include={"run"})):
        if retry:
            for cell in found:
                for job in [*cell.sweep(), *cell.runs()]:
                    job.forget()
        if not Campaign(found, say, workers=apart(workers, say), keep=True).run():
            return False
        write(study, found, folder, study.title or file.stem)
    return True


def apart(workers: int, say: Callable[[str], None]) -> int:
    """How many processes take the runs; 0 where one was asked for, which is this one."""
    if workers == 1:
        return 0
    most = cores()
    if workers > most:
        say(f"--workers {workers} is cut to {most}, the cores that this process may use")
    return min(workers, most)


def write(study: Study, found: list[Cell], folder: Path, title: str) -> str:
    """Write table and figures of what is over; returns the table in markdown."""
    lines = tidy.records(found, study.columns)
    if not lines:
        raise ValueError(f"no run in {folder} is over yet")
    tidy.write(folder, lines)
    from ddopt.study.pictures import draw

    pictures = draw(folder, study.figures, title)
    return report.write(folder, study, title, pictures)

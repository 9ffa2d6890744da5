"""Scripts for a cluster: a job for each run that is missing. Nothing is submitted here."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ddopt.study.job import Job


def command(job: Job, file: Path, folder: Path) -> str:
    """What runs one job of a study, on any machine that sees the same files."""
    only = job.folder.relative_to(folder).as_posix()
    words = [sys.executable, "-m", "ddopt", "study", str(file.resolve())]
    return shlex.join([*words, "--out", str(folder.resolve()), "--only", only])


def script(jobs: Sequence[Job], file: Path, folder: Path) -> str:
    """An sbatch script with an array of all jobs, a task for each.

    ``bash`` runs one of them where SLURM_ARRAY_TASK_ID says which.
    """
    most = max(job.config.threads * job.processes for job in jobs)
    lines = "\n".join(f"  {shlex.quote(command(job, file, folder))}" for job in jobs)
    return (
        "#!/usr/bin/env bash\n"
        f"#SBATCH --job-name={shlex.quote(file.stem)}\n"
        f"#SBATCH --array=0-{len(jobs) - 1}\n"
        f"#SBATCH --cpus-per-task={most}\n"
        "#SBATCH --output=%x-%a.log\n"
        f"commands=(\n{lines}\n)\n"
        'eval "${commands[$SLURM_ARRAY_TASK_ID]}"\n'
    )

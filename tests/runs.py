"""Run files of the tests, and processes that read them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BOWL = Path(__file__).parent / "bowl_plugin.py"

RUN_FILE = """\
problem = "bowl"
plugins = ["{bowl}"]

[strategy]
name = "sapts_d"
subdomains = 3

[solver.hessian]
memory = 4

[stop]
iterations = 12

[output]
measure_every = 2
checkpoint_every = 4
"""


def write_run_file(folder: Path, text: str = RUN_FILE) -> Path:
    path = folder / "bowl.toml"
    path.write_text(text.replace("{bowl}", BOWL.as_posix()))
    return path


def ddopt(*arguments: object, cwd: Path | None = None, **environment: str):
    """``python -m ddopt`` in a process of its own."""
    return python("-m", "ddopt", *arguments, cwd=cwd, **environment)


def torchrun(*arguments: object, processes: int, cwd: Path | None = None, **environment: str):
    """``torchrun ... -m ddopt`` with two restarts, on this machine."""
    options = ["--standalone", "--nproc-per-node", processes, "--max-restarts", 2]
    launcher = ["-m", "torch.distributed.run", *options, "-m", "ddopt"]
    return python(*launcher, *arguments, cwd=cwd, **environment)


def python(*arguments: object, cwd: Path | None = None, **environment: str):
    """This Python, where the project is found."""
    paths = [str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=settings,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

"""``ddopt doctor``: what is here, what is missing, and the command that installs it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click

from ddopt.commands import arguments
from ddopt.commands.errors import courteous

Finding = tuple[str, str]


@click.command("doctor")
def command() -> None:
    """Show versions, devices, threads and the data root, and what is missing."""
    with courteous():
        findings = [*versions(), *devices(), *threads(), *data_root(), *extras(), *plugins()]
    width = max(len(subject) for subject, _ in findings)
    for subject, finding in findings:
        click.echo(f"{subject:<{width}}  {finding}")


def versions() -> Iterator[Finding]:
    """ddopt, Python, and what the core needs."""
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in ("ddopt", "torch", "numpy", "pydantic", "pluggy", "click", "rich"):
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, f"not installed; install it with: pip install {package}"


def devices() -> Iterator[Finding]:
    """Where tensors can live, and what processes can talk through."""
    import torch

    from ddopt.executor.backends import backends

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(i).total_memory / 2**30
            yield f"cuda:{i}", f"{torch.cuda.get_device_name(i)}, {memory:.0f} GiB"
    else:
        yield "cuda", "no GPU; everything works on the CPU"
    yield "distributed", ", ".join(backends()) or "none: this torch was built without"


def threads() -> Iterator[Finding]:
    """Cores, and what limits the threads."""
    limit = os.environ.get("OMP_NUM_THREADS", "not set")
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    yield "threads", f"{usable} cores, OMP_NUM_THREADS {limit}; a run sets its own (threads = 1)"


def data_root() -> Iterator[Finding]:
    """Where data sets are looked for."""
    from ddopt.setup.storage import data_root as folder

    root = os.environ.get("DDOPT_DATA_ROOT")
    if not root:
        unset = "DDOPT_DATA_ROOT is not set; data sets are downloaded here"
        yield "data root", f"{folder()} ({unset})"
    elif not Path(root).is_dir():
        yield "data root", f"{root} does not exist (DDOPT_DATA_ROOT)"
    else:
        yield "data root", f"{root}, {sum(1 for _ in Path(root).iterdir())} entries"


def extras() -> Iterator[Finding]:
    """The optional packages of ddopt and of every plugin's distribution."""
    from ddopt.setup.extras import extras as wanted_by
    from ddopt.setup.extras import providers

    for distribution in providers():
        for wanted in wanted_by(distribution):
            if wanted.extra in ("test", "dev"):
                continue
            here = wanted.version or f"missing; install it with: {wanted.command}"
            yield f"{wanted.package} ({wanted.extra})", here


def plugins() -> Iterator[Finding]:
    """The plugins that work, and those that do not."""
    for plugin in arguments.listed().plugins:
        yield f"plugin {plugin.name}", f"{plugin.status} {plugin.reason}".strip()

"""The execution of a config: processes, the run, and what it leaves behind."""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from ddopt.executor import Serial
from ddopt.plugins import manager
from ddopt.run import checkpoint
from ddopt.run.running import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddopt.config import RunConfig
    from ddopt.executor import Executor
    from ddopt.run.folder import Folder
    from ddopt.run.stopping import StopReason


@contextmanager
def connected(config: RunConfig) -> Iterator[Executor]:
    """The executor of this process: serial, or one of those that torchrun has started."""
    torch.set_num_threads(config.threads)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Serial()
        return
    try:
        launch = import_module("ddopt.executor.launch")
    except ModuleNotFoundError as error:
        raise ValueError(f"this installation cannot run in several processes: {error}") from None
    with launch.connect(config.device, config.reduction, config.threads) as executor:
        yield executor


def execute(config: RunConfig, folder: Folder | None, *, resume: bool = False) -> StopReason:
    """Train as ``config`` says; on rank 0 ``folder`` receives the results."""
    with connected(config) as executor:
        run = Run(config, executor, folder if executor.rank == 0 else None)
        state = _saved(folder, run) if resume and folder is not None else None
        if run.folder is not None:
            run.folder.open(config, state["tally"]["iterations"] if state else -1)
        try:
            reason = run.train(state)
        finally:
            if run.folder is not None:
                run.folder.close()
        finish(run, reason)
    return reason


def _saved(folder: Folder, run: Run) -> dict[str, Any] | None:
    return checkpoint.load(folder.path, run.task.initial.device)


def finish(run: Run, reason: StopReason) -> None:
    """Write the summary, tell the plugins, draw the figures."""
    summary = summarise(run, reason)
    if run.folder is not None:
        run.folder.finish(summary, run.best)
    manager().call("ddopt_after_run", run=run, summary=summary)
    if run.folder is not None and run.config.output.figures:
        try:
            run.task.draw(run.theta, run.folder.metrics(), run.folder.path)
        except ModuleNotFoundError as error:
            from ddopt.extras import remedy

            warnings.warn(f"no figures: {error}.{remedy(error)}", stacklevel=2)


def summarise(run: Run, reason: StopReason) -> dict[str, Any]:
    """What ``summary.json`` holds."""
    tally, config = run.tally, run.config
    return {
        "problem": config.problem.component.name,
        "strategy": config.strategy.component.name,
        "solver": config.solver.component.name,
        "subdomains": run.subdomains,
        "processes": run.executor.size,
        "seed": config.seed,
        "loss": tally.loss,
        "error": None,
        "accuracy": None,
        **run.measured,
        "evaluations": {"parallel": tally.parallel, "total": tally.total},
        "seconds": round(tally.seconds, 4),
        "outer_iterations": tally.iterations,
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "bytes_sent": tally.bytes_sent,
        "collectives": tally.collectives,
        "stop_reason": reason.key,
        "stop_message": reason.value,
        "parameters": run.theta.numel(),
        "dtype": config.dtype,
        "device": str(run.theta.device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }

"""The execution of a config: processes, the run, and what it leaves behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.executor.launch import connect
from ddopt.numerics.blas import one_thread
from ddopt.run import checkpoint, shards
from ddopt.run.running import Run, device_of
from ddopt.setup.extras import remedy
from ddopt.setup.notice import warn
from ddopt.setup.plugins import manager
from ddopt.task import Task

if TYPE_CHECKING:
    from ddopt.run.folder import Folder
    from ddopt.run.stopping import StopReason
    from ddopt.setup.config import RunConfig


def execute(config: RunConfig, folder: Folder | None, *, resume: bool = False) -> StopReason:
    """Train as ``config`` says; on rank 0 ``folder`` receives the results."""
    chosen: Any = config.executor
    here = chosen.build() if chosen.component.alone else None
    connected = connect(device_of(config), config.reduction, config.threads, here)
    with connected as executor, one_thread():  # of BLAS: NumPy's last bits depend on it
        if here is None and executor.size == 1:
            raise ValueError(
                f"executor = {chosen.component.name!r} needs several processes: start them with "
                "--processes or torchrun, or leave executor out"
            )
        run = Run(config, executor, folder if executor.rank == 0 else None)
        state = _saved(folder, run) if resume and folder is not None else None
        if run.folder is not None:
            run.folder.open(config, state["tally"]["iterations"] if state else -1)
        try:
            reason = run.train(state)
        except Exception:  # what the user can mend, and then run again with the same --out
            if run.folder is not None and state is None and run.tally.iterations == 0:
                run.folder.discard()
            raise
        finally:
            if run.folder is not None:
                run.folder.close()
        finish(run, reason)
    return reason


def _saved(folder: Folder, run: Run) -> dict[str, Any] | None:
    state = checkpoint.load(folder.path, run.initial.device)
    return shards.load(folder.path, run, state) if state and "pieces" in state else state


def finish(run: Run, reason: StopReason) -> None:
    """Write the summary, tell the plugins, draw the figures."""
    summary = _known(run, reason) or summarise(run, reason)
    if run.folder is not None and not run.folder.complete:
        run.folder.finish(summary, _whole(run, "best") if run.best else {})
    manager().call("ddopt_after_run", run=run, summary=summary)
    if run.folder is not None and run.config.output.figures:
        try:
            if type(run.task).draw is not Task.draw:
                theta = _whole(run, "point")["theta"]
                run.task.draw(theta, run.folder.metrics(), run.folder.path)
                if run.config.output.frames:
                    run.task.animate(theta, run.config.output.frames, run.folder.path)
        except Exception as error:  # the results are there; a picture is not worth losing them
            kind = type(error).__name__
            warn(f"no figures: {kind}: {error}.{remedy(error)}")


def _known(run: Run, reason: StopReason) -> dict[str, Any] | None:
    """The summary of a run that had ended before this session, and for the same reason."""
    folder = run.folder
    known = folder.summary() if folder is not None and run.rested else None
    ended = (reason.key, run.tally.iterations)
    if folder is None or known is None or _ended(known) != ended:
        return None
    folder.complete = True
    return known


def _ended(summary: dict[str, Any]) -> tuple[Any, Any]:
    return summary["stop_reason"], summary["outer_iterations"]


def _whole(run: Run, what: str) -> dict[str, Any]:
    """The last point, or the best one, with θ of the whole model."""
    assert run.folder is not None
    own = run.best if what == "best" else {"theta": run.theta}
    if not run.problem.geometry.sharded:
        return own
    saved = checkpoint.load(run.folder.path)  # the run has ended, so all stages are there
    assert saved is not None
    return {**own, "theta": shards.parameters(run.folder.path, saved, what)}


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
        "parameters": run.parameters,
        "dtype": config.dtype,
        "device": str(run.theta.device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
    }

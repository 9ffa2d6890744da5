"""The execution of a config: processes, the run, and what it leaves behind."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from ddopt.executor.launch import connect
from ddopt.numerics.blas import one_thread
from ddopt.run import bundle, checkpoint, interrupt, record, shards
from ddopt.run.running import Run, device_of
from ddopt.run.stopping import StopReason
from ddopt.setup.extras import remedy
from ddopt.setup.notice import warn
from ddopt.setup.plugins import manager
from ddopt.task import Task

if TYPE_CHECKING:
    from ddopt.run.folder import Folder
    from ddopt.setup.config import RunConfig

APART = (
    *("processes", "seconds", "processor_seconds", "bytes_sent", "collectives"),
    *("device", "threads", "torch"),
)


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
        own = folder if executor.rank == 0 else None
        with own.claimed(fresh=not resume) if own is not None else nullcontext():
            run = Run(config, executor, own)
            state = bundle.load(folder.path, run) if resume and folder is not None else None
            reason = _train(run, state)
            finish(run, reason)
        if reason is StopReason.INTERRUPTED and executor.size > 1:
            interrupt.ignore()
    return reason


def _train(run: Run, state: dict[str, Any] | None) -> StopReason:
    folder = run.folder
    if folder is not None:
        folder.open(run.config, state["tally"]["iterations"] if state else -1)
    try:
        return run.train(state)
    except Exception as error:  # what the user can mend, and then run again with the same --out
        manager().call("ddopt_on_error", run=run, error=error)
        if folder is not None and state is None and run.tally.iterations == 0:
            folder.discard()
        raise
    finally:
        if folder is not None:
            folder.close()


def finish(run: Run, reason: StopReason) -> None:
    """Write the summary, tell the plugins, draw the figures."""
    summary = _known(run, reason) or summarise(run, reason)
    if run.folder is not None and not run.folder.complete:
        run.folder.finish(summary, _best(run))
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
    """The summary of a run that had ended before this session, where it still says how."""
    folder = run.folder
    known = folder.summary() if folder is not None and run.rested else None
    if folder is None or known is None or not _agree(known, summarise(run, reason)):
        return None
    folder.complete = True
    return known


def _agree(known: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether two summaries are of one end; whoever looks at it may have another machine."""
    found = record.strict(found)
    return all(known.get(key) == value for key, value in found.items() if key not in APART)


def _best(run: Run) -> dict[str, Any]:
    """The best point, where it was kept and can be put together."""
    apart = run.problem.geometry.sharded and run.config.output.checkpoint_every == "none"
    if run.best and apart:
        warn("no best.pt: the model lies in stages, and output.checkpoint_every = 'none'")
    return _whole(run, "best") if run.best and not apart else {}


def _whole(run: Run, what: str) -> dict[str, Any]:
    """The last point, or the best one, with θ of the whole model."""
    assert run.folder is not None
    own = run.best if what == "best" else {"theta": run.theta}
    if not run.problem.geometry.sharded:
        return own
    saved = checkpoint.load(run.folder.path)  # the run has ended, so all stages are there
    if saved is None:
        raise ValueError("the model lies in stages, and output.checkpoint_every = 'none'")
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
        "processor_seconds": round(tally.processor_seconds, 4),
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

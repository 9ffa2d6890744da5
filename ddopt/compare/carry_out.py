"""One run of a comparison: a folder with ``metrics.jsonl`` and ``summary.json``, kept once done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import torch

from ddopt.compare.objective import LIMITS, Objective, Spent
from ddopt.numerics.blas import one_thread
from ddopt.run import chance, files, record
from ddopt.run.execution import execute
from ddopt.run.folder import CONFIG, Folder, load_again, refuse_changes
from ddopt.run.running import setting
from ddopt.run.stopping import StopReason
from ddopt.setup.config import plain
from ddopt.setup.notice import warn
from ddopt.task import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from ddopt.compare.baseline import Baseline
    from ddopt.compare.entry import Opponent, Strategy
    from ddopt.compare.ticker import Ticker
    from ddopt.sampling import Sampling
    from ddopt.setup.config import RunConfig, Stop
    from ddopt.task import Task


def done(folder: Path, stop: Stop) -> bool:
    """Whether a finished run lies there whose budget was no smaller.

    One that has been damaged is not finished: what can be done about it is done by running it.
    """
    summary = record.summary(folder)
    if summary is None:
        return False
    if not _readable(folder):
        warn(f"the record in {folder} is damaged; it is run again")
        return False
    if summary["stop_reason"] not in LIMITS:
        return bool(summary["stop_reason"] != StopReason.INTERRUPTED.key)
    budget = summary.get("budget") or load_again(folder).stop.model_dump()
    return all((budget.get(key) or 0.0) >= (getattr(stop, key) or 0.0) for key in LIMITS)


def _readable(folder: Path) -> bool:
    """Whether there is a record that can be read."""
    try:
        return bool(record.read(folder))  # a run has at least the line of its start
    except ValueError:
        return False


def warm(config: RunConfig) -> None:
    """Evaluate once, and make an optimizer: what is imported on first use is nobody's time."""
    task = cast("Task", config.problem.build())
    prepare(task, setting(config))
    sampling = cast("Sampling", config.sampling.build())
    sampling.prepare(config.seed)
    assert sampling.problem(task.problem, 0).both(task.initial).gradient is not None
    torch.optim.SGD([torch.nn.Parameter(task.initial.clone())], lr=1.0)


def own(strategy: Strategy, folder: Path, ticker: Ticker) -> bool:
    """Run a strategy, or go on with a run that was interrupted; False if it was again."""
    config = strategy.config
    begun = (folder / CONFIG).exists()
    if begun:
        refuse_changes(folder, load_again(folder), config)
    reason = execute(config, Folder(folder, ticker), resume=begun)
    return reason is not StopReason.INTERRUPTED


def other(opponent: Opponent, folder: Path, every: float, ticker: Ticker) -> None:
    """Run a baseline; its record is written when it is over, the summary last."""
    config = opponent.config
    torch.set_num_threads(config.threads)
    chance.seed(config.seed)
    task = cast("Task", config.problem.build())
    prepare(task, setting(config))
    baseline = cast("Baseline", opponent.settings.build())
    baseline.check()
    sampling = cast("Sampling", config.sampling.build()) if baseline.mini else None
    if sampling is not None:
        sampling.prepare(config.seed)
    f = Objective(task, sampling, config.stop, every, ticker.show)
    with one_thread():
        try:
            reason = baseline.minimise(f)
        except Spent as spent:
            reason = str(spent)
        finally:
            ticker.close()
        f.finish()
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record.strict(line)) + "\n" for line in f.lines)
    files.write_text(folder / record.METRICS, lines)
    last = f.lines[-1]
    summary = {
        "problem": config.problem.component.name,
        "baseline": {"name": opponent.name, **plain(opponent.settings.model_dump())},
        "seed": config.seed,
        "stop_reason": reason,
        "budget": config.stop.model_dump(),
        **last,
    }
    record.write_summary(folder, summary)

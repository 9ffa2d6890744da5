"""What a checkpoint holds: taken from a run, compared with what resumes it, and given back."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from ddopt.executor.pulse import RankLostError
from ddopt.run import chance, checkpoint, record, shards
from ddopt.run.tally import Tally
from ddopt.setup.component import restore, states
from ddopt.setup.config import settings
from ddopt.setup.plugins import manager

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from ddopt.run.folder import Folder
    from ddopt.run.stopping import StopReason
    from ddopt.setup.config import RunConfig


class Run(shards.Run, Protocol):
    """What is needed of a run (:class:`ddopt.run.running.Run`), which calls this file."""

    config: RunConfig
    folder: Folder | None
    best: dict[str, Any]

    @property
    def follows(self) -> bool:
        """Whether later problems may follow the first, with parameters of their own."""

    @property
    def theta(self) -> torch.Tensor:
        """The current parameters."""

    @property
    def theta_value(self) -> float:
        """f there."""


SHOWN = 3  # settings that a message names


def save(run: Run, reason: StopReason | None) -> None:
    """Write a checkpoint; by all processes, for each may hold something of its own."""
    state, folder = run.engine.state_dict(), run.folder
    state["point"] = {**state["point"], "theta": state["point"]["theta"].detach()}
    bundle: dict[str, Any] = {"engine": state, "tally": asdict(run.tally)}
    bundle["random"] = chance.state()
    bundle |= {"best": run.best, "components": states(run), "plugins": manager().states()}
    bundle["ended"] = reason.key if reason is not None else None
    if folder is not None:
        bundle |= {"settings": settings(run.config), "record": folder.seal()}
    path = folder.path if folder is not None else None
    if run.executor.size > 1 or run.problem.geometry.sharded or run.engine.memory is not None:
        shards.save(path, run, bundle)
    elif path is not None:
        checkpoint.save(path, run.tally.iterations, bundle)
    told(run, restored=False)


def told(run: Run, *, restored: bool) -> None:
    """Tell plugins of a checkpoint that was written, or from which the run goes on."""
    folder = run.folder
    path = None if folder is None else checkpoint.path_of(folder.path, run.tally.iterations)
    manager().call("ddopt_on_checkpoint", run=run, path=path, restored=restored)


def load(path: Path, run: Run) -> dict[str, Any] | None:
    """The newest checkpoint that belongs to this run; None if there is none.

    Process 0 chooses it, and the others read the same. Raises ``ValueError`` where the folder holds
    another run's, or none that can be used.
    """
    executor, device, bundle = run.executor, run.initial.device, None
    if executor.rank == 0:
        bundle = checkpoint.load(path, device, lambda state: _unfit(path, run, state))
    if executor.size > 1:
        number = -1 if bundle is None else shards.run_at(bundle)
        rows = {executor.rank: [float(number)]}
        chosen = int(executor.numbers(rows, executor.size)[0][0])
        if executor.rank and chosen >= 0:
            bundle = checkpoint.at(path, chosen, device)
    if bundle is None or "pieces" not in bundle:
        return bundle
    return shards.load(path, run, bundle)


def _unfit(path: Path, run: Run, bundle: dict[str, Any]) -> str:
    """Why a checkpoint cannot be continued; raises ``ValueError`` where it is another run's."""
    try:
        refuse_other_settings(path, run.config, dict(bundle.get("settings", {})))
        reason = record.unlike(path, bundle["record"]) if "record" in bundle else ""
        return reason or _unsound(run, bundle)
    except (KeyError, TypeError, AttributeError) as error:
        return f"its content is none of ours: it has no {error}"


def _unsound(run: Run, bundle: dict[str, Any]) -> str:
    """Whether the parameters can be those of this run."""
    point, tally = bundle["engine"]["point"], Tally(**bundle["tally"])
    theta, value = point["theta"], float(point["value"])
    if not isinstance(theta, str):  # else it lies in pieces
        fits = run.follows or theta.shape == run.initial.shape
        if theta.dtype != run.initial.dtype or not fits:
            return f"its parameters are {theta.dtype} {tuple(theta.shape)}, not those of this run"
        if math.isfinite(value) and not bool(theta.isfinite().all()):
            return "its parameters are not finite"
    if value != tally.loss and not (math.isnan(value) and math.isnan(tally.loss)):
        return "its loss is not that of its parameters"
    return ""


def refuse_other_settings(path: Path, config: RunConfig, saved: dict[str, Any]) -> None:
    """Raise ``ValueError`` naming the settings that were others when a checkpoint was written.

    What only one of the two knows was made by another version, and is left to its default.
    """
    was, now = _flat(saved), _flat(settings(config))
    changed = [key for key in was if key in now and was[key] != now[key]]
    if changed:
        told = ", ".join(f"{key} is {now[key]!r} and was {was[key]!r}" for key in changed[:SHOWN])
        raise ValueError(
            f"the checkpoints in {path} were written with other settings: {told}. Put config.toml "
            "back, or start a new run"
        )


def _flat(table: Any, prefix: str = "") -> dict[str, Any]:
    """A nested table by dotted keys."""
    if not isinstance(table, dict):
        return {prefix: table}
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}.{key}".lstrip("."))
    return found


def give(run: Run, bundle: dict[str, Any]) -> None:
    """Put a run where the checkpoint was written.

    Raises ``ValueError`` where the states in it are not those of this run's components.
    """
    try:
        _give(run, bundle)
    except RankLostError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        kind = type(error).__name__
        raise ValueError(
            f"the checkpoint of iteration {bundle['tally'].get('iterations')} does not fit this "
            f"run ({kind}: {error}): it was changed, or written by another version; start a new run"
        ) from error


def _give(run: Run, bundle: dict[str, Any]) -> None:
    state, executor = bundle["engine"], run.executor
    solvers = state["solvers"]
    whole = len(solvers) == 1 or "pieces" in bundle  # else those of all processes
    owned = solvers if whole else executor.owned(max(solvers, default=-1) + 1)
    own = {d: solvers[d] for d in owned}
    run.engine.load_state_dict({**state, "solvers": own})
    if math.isfinite(run.theta_value) and not bool(run.theta.isfinite().all()):
        raise ValueError("its parameters are not finite")
    run.tally, run.best = Tally(**bundle["tally"]), bundle["best"]
    restore(run, bundle["components"])
    manager().restore(bundle["plugins"])
    chance.restore(bundle["random"])  # and once more by the run, when everything is in its place

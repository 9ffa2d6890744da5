"""Runs in TensorBoard, MLflow or Weights & Biases as they go: ``DDOPT_LOGGERS=tensorboard,mlflow``.

A plugin of hooks alone. The environment says which loggers a run has, for a logger is a property of
the place where it runs and not of the numbers. The first process logs; a run that is resumed goes
on in the same place. A logger that fails is named in a warning and left out, as every hook is.
"""

from __future__ import annotations

import math
import os
import tomllib
from importlib import import_module
from numbers import Real
from typing import TYPE_CHECKING, Any

import ddopt
from ddopt.setup.extras import installing

if TYPE_CHECKING:
    from ddopt.method.report import StepReport
    from ddopt.run.running import Run

LOGGERS = {
    "tensorboard": "TensorBoard",
    "mlflow": "MLflow",
    "wandb": "WeightsAndBiases",
}
opened: list[Any] = []  # the loggers of the run at hand


def wanted() -> list[str]:
    """The names in ``DDOPT_LOGGERS``; raises ``ValueError`` for one that is no logger's."""
    names = [one.strip() for one in os.environ.get("DDOPT_LOGGERS", "").split(",") if one.strip()]
    unknown = sorted(set(names) - set(LOGGERS))
    if unknown:
        raise ValueError(
            f"DDOPT_LOGGERS names {', '.join(unknown)}; there are {', '.join(LOGGERS)}"
        )
    return names


def numbers(report: StepReport, measured: dict[str, float]) -> dict[str, float]:
    """What an iteration is logged as: the finite numbers of its report, and what was measured."""
    found = {**vars(report), **measured}
    del found["iteration"]
    return {
        key: float(one)
        for key, one in found.items()
        if isinstance(one, Real) and math.isfinite(float(one))
    }


def options(run: Run) -> dict[str, Any]:
    """The options of a run by their dotted keys, as its folder has them."""
    assert run.folder is not None
    table = tomllib.loads((run.folder.path / "config.toml").read_text(encoding="utf-8"))

    def flat(branch: dict[str, Any], place: str) -> dict[str, Any]:
        leaves: dict[str, Any] = {}
        for key, one in branch.items():
            leaves |= flat(one, f"{place}{key}.") if isinstance(one, dict) else {place + key: one}
        return leaves

    return flat(table, "")


@ddopt.hookimpl
def ddopt_before_run(run: Run) -> None:
    """Open the loggers, where this process has the folder."""
    opened.clear()
    names = wanted()
    if run.folder is None:
        return
    for name in names:
        try:
            module = import_module(f"ddopt_loggers.{name}")
        except ModuleNotFoundError as error:
            raise ValueError(
                f"DDOPT_LOGGERS asks for {name}, and {error.name} is not installed: "
                f"{installing(name)}"
            ) from error
        opened.append(getattr(module, LOGGERS[name])(run.folder.path, options(run)))


@ddopt.hookimpl
def ddopt_after_step(run: Run, report: StepReport) -> None:
    """Log an iteration."""
    for logger in opened:
        logger.log(run.tally.iterations, numbers(report, run.measured))


@ddopt.hookimpl
def ddopt_on_error(run: Run, error: Exception) -> None:
    """Say that the run has failed."""
    _close(failed=True)


@ddopt.hookimpl
def ddopt_after_run(run: Run, summary: dict[str, Any]) -> None:
    """Say that the run has ended."""
    _close(failed=False)


def _close(*, failed: bool) -> None:
    while opened:
        opened.pop().end(failed)

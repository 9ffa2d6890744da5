"""A run in MLflow, at the server and in the experiment that MLflow's environment names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow

if TYPE_CHECKING:
    from pathlib import Path


class MLflow:
    """A run of MLflow's; its number is kept in the run's folder, for a run that is resumed."""

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        kept = folder / "mlflow_run.txt"
        before = kept.read_text(encoding="utf-8") if kept.exists() else None
        run = mlflow.start_run(run_id=before, run_name=None if before else folder.name)
        kept.write_text(run.info.run_id, encoding="utf-8")
        if before is None:
            mlflow.log_params(options)

    def log(self, iteration: int, numbers: dict[str, float]) -> None:
        """Send the numbers of an iteration."""
        mlflow.log_metrics(numbers, step=iteration)

    def end(self, failed: bool) -> None:
        """Say how it ended."""
        mlflow.end_run("FAILED" if failed else "FINISHED")

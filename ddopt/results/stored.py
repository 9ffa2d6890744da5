"""Results of before: a run folder, or a folder of a comparison."""

from __future__ import annotations

from pathlib import Path

from ddopt.results.comparison import TABLE, Comparison
from ddopt.results.result import Result
from ddopt.run.folder import CONFIG
from ddopt.run.record import METRICS


def load(folder: str | Path) -> Result | Comparison:
    """The run, or the comparison, in a folder: ``ddopt.load("runs/poisson2d-20260101-120000")``.

    Raises ``ValueError`` where neither is.
    """
    path = Path(folder)
    if (path / TABLE).exists():
        return Comparison(path)
    if (path / CONFIG).exists() or (path / METRICS).exists():
        return Result(path)
    inside = sorted(p.parent.name for p in path.glob(f"*/{METRICS}")) if path.is_dir() else []
    hint = f"; there are runs in it: {', '.join(inside[-3:])}" if inside else ""
    if not path.exists():
        raise ValueError(f"there is no folder {path}; the last line of a run names its folder")
    raise ValueError(f"{path} holds neither a run nor a comparison{hint}")

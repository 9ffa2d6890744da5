"""Comparisons from Python: what ``ddopt compare`` does, and what came of it."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ddopt.results.columns import columns, rows_html
from ddopt.results.pictures import Pictures, embedded
from ddopt.results.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ddopt.setup.config import RunConfig

TABLE = "table.json"
SHOWN = ("method", "rate", "geometric_mean", "mean", "std", "loss", "evaluations", "seconds")


class Comparison:
    """A comparison and its folder: who came how far at an equal budget."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Everything that the table is made of: ``table.json``, with its remarks."""
        found: dict[str, Any] = json.loads((self.folder / TABLE).read_text(encoding="utf-8"))
        return found

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row for each method, the best first; numbers over the seeds."""
        found = []
        for row in self.summary["rows"]:
            seeds = {key: _mean(values) for key, values in row["seeds"].items()}
            merit = {k: v for k, v in row.items() if k not in ("seeds", "tried_rates", "look")}
            found.append({**seeds, **merit})
        return found

    @cached_property
    def table(self) -> Any:
        """The rows, as a pandas ``DataFrame`` where pandas is installed."""
        return columns(self.rows)

    def run(self, method: str, seed: int = 0) -> Result:
        """The run of a method, by its name in the table.

        Raises ``ValueError``, with the names, for one that took no part.
        """
        from ddopt.compare.entry import slug

        row = next((row for row in self.summary["rows"] if row["method"] == method), None)
        if row is None:
            names = ", ".join(row["method"] for row in self.summary["rows"])
            raise ValueError(f"no method {method!r} took part; there are: {names}")
        place = self.folder / slug(method)
        if row["rate"] is not None:
            place /= f"rate-{row['rate']:.3e}"
        return Result(place / f"seed-{seed}")

    def plot(self, format: str = "png") -> Pictures:
        """Draw the figure again, as png, svg or pdf; returns its path, which a notebook shows."""
        from ddopt.compare.again import redraw
        from ddopt.figures import written_as

        with written_as(format):
            return Pictures(redraw(self.folder))

    def __repr__(self) -> str:
        """Name the title and the best."""
        best = self.summary["rows"][0]["method"]
        name = self.summary["title"].removeprefix("Comparison on ")
        return f"Comparison({name}: {best} is first by {self.summary['merit']})"

    def _repr_html_(self) -> str:
        names = [key for key in SHOWN if any(row.get(key) is not None for row in self.rows)]
        remarks = "".join(f"<p>{one}</p>" for one in self.summary["remarks"])
        figures = sorted(self.folder.glob("figure*.png"))
        return rows_html(self.rows, names) + remarks + "".join(map(embedded, figures))


@overload
def compare_methods(
    config: str | Path | Mapping[str, Any],
    *,
    strategies: Sequence[str] = (),
    against: Sequence[str] = ("adam", "lbfgs"),
    evaluations: float | None = None,
    seconds: float | None = None,
    processor_seconds: float | None = None,
    seeds: int = 3,
    rates: Sequence[float] | None = None,
    out: str | Path | None = None,
    show: bool = True,
    **changes: Any,
) -> Comparison: ...


# A type checker holds the values of ``**{"stop.iterations": 3}`` against every keyword named above.
@overload
def compare_methods(config: str | Path | Mapping[str, Any], **changes: Any) -> Comparison: ...


def compare_methods(
    config: str | Path | Mapping[str, Any],
    *,
    strategies: Sequence[str] = (),
    against: Sequence[str] = ("adam", "lbfgs"),
    evaluations: float | None = None,
    seconds: float | None = None,
    processor_seconds: float | None = None,
    seeds: int = 3,
    rates: Sequence[float] | None = None,
    out: str | Path | None = None,
    show: bool = True,
    **changes: Any,
) -> Comparison:
    """Compare the strategy of a run file with others and with baselines, at an equal budget.

    ``strategies`` are names, or ``"sapts_d:4"`` for four subdomains; ``against`` are baselines,
    those with a learning rate at the best of ``rates`` (13 from 1e-4 to 1). The folder is ``out``,
    or ``comparisons/<name>``; finished runs in it are kept, so that the same call goes on.

    Raises ``ValueError`` for a wrong setting, and ``KeyboardInterrupt`` after Ctrl-C.
    """
    from ddopt.compare.terms import RATES, Terms, hold, learning_rates
    from ddopt.setup import overrides
    from ddopt.setup.config import load_given

    given = Path(config) if isinstance(config, (str, Path)) else config

    def read(more: Iterable[str]) -> RunConfig:
        parsed = {".".join(path): value for path, value in map(overrides.parse, more)}
        return load_given(given, {**changes, **parsed})

    name = given.stem if isinstance(given, Path) else read(()).problem.component.name
    terms = Terms(
        evaluations=evaluations,
        seconds=seconds,
        processor_seconds=processor_seconds,
        seeds=seeds,
        rates=tuple(rates) if rates is not None else learning_rates(RATES),
    )
    place = Path(out) if out is not None else Path("comparisons") / name
    finished = hold(read, place, name, terms, strategies, against, show=show)
    if not finished:
        raise KeyboardInterrupt(f"interrupted; the same call goes on from {place}")
    return Comparison(place)


def _mean(values: Sequence[float | None]) -> float:
    from statistics import fmean

    return fmean(float("nan") if value is None else value for value in values)

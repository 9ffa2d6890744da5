"""The terms of a comparison: one budget for all, the seeds, the learning rates; and holding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddopt.setup.limits import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from ddopt.setup.config import RunConfig, Stop

RATES = "1e-4:1:13"
ONE_BUDGET = "the budget is --evaluations, --seconds or --processor-seconds; give one of them"
MOST_RATES = 1000
COMMON = ("problem", "sampling", "dtype", "device", "threads", "reduction")
CLAIM = "problem.toml"


@dataclass(frozen=True)
class Terms:
    """What was asked for; ``every`` is the evaluations between two measurements."""

    evaluations: float | None
    seconds: float | None
    seeds: int
    rates: Sequence[float]
    every: float | None = None
    processor_seconds: float | None = None

    def budget(self, configured: Stop) -> Stop:
        """The one limit of all runs; raises ``ValueError`` if there is none, or two."""
        from ddopt.compare.objective import LIMITS
        from ddopt.setup.config import Stop

        given = {key: getattr(self, key) for key in LIMITS if getattr(self, key) is not None}
        if len(given) > 1:
            raise ValueError(ONE_BUDGET)
        if not given:
            known = {key: getattr(configured, key) for key in LIMITS}
            given = dict([pair for pair in known.items() if pair[1] is not None][:1])
        if not given:
            raise ValueError(
                "the run file has none of stop.evaluations, stop.seconds and "
                "stop.processor_seconds, and runs are compared at an equal budget only: give "
                "--evaluations, --seconds or --processor-seconds"
            )
        return Stop(**given)


def hold(
    config: Callable[[Iterable[str]], RunConfig],
    folder: Path,
    name: str,
    terms: Terms,
    others: Sequence[str],
    baselines: Sequence[str],
    *,
    show: bool,
) -> bool:
    """Run all that is missing, and write table and figure; False if it was interrupted.

    ``config`` gives the run file with such changes of it.
    """
    import click

    from ddopt.compare import entry, figure, table
    from ddopt.compare.carry_out import warm
    from ddopt.study.campaign import Campaign, claimed
    from ddopt.study.cell import of_entry

    ours = entry.strategies(config, others)
    theirs = entry.opponents(ours[0].config, baselines)
    common, first = ours[0].config, ours[0].config.seed
    stop = terms.budget(common.stop)
    every = terms.every or (stop.evaluations or 1000.0) / 100
    seeds = range(first, first + terms.seeds)
    entries: list[entry.Strategy | entry.Opponent] = [*ours, *theirs]
    cells = [of_entry(folder, one, stop, seeds, terms.rates, every) for one in entries]
    warm(common)  # first: what cannot run leaves no folder behind
    with claimed(folder, CLAIM, common.model_dump(include=set(COMMON))):
        if not Campaign(cells, click.echo if show else _nobody, keep=False).run():
            return False
        rows = [cell.row() for cell in cells]
        title = f"Comparison on {name}"
        remarks = table.notes(rows, stop, seeds)
        table.write(folder, rows, title, remarks, (stop, seeds))
        figure.draw(folder, rows, title, seeds)
    if show:
        table.show(rows, title)
        for remark in remarks:
            click.echo(remark)
    return True


def _nobody(line: str) -> None:
    """Hears nothing."""


def split(names: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def learning_rates(text: str) -> Sequence[float]:
    """``FIRST:LAST:COUNT`` or a list; raises ``ValueError`` with an example."""
    import numpy as np

    try:
        if ":" in text:
            first, last, count = text.split(":")
            if int(count) > MOST_RATES:
                raise ValueError(f"{count} rates")
            found = np.geomspace(float(first), float(last), int(count)).tolist()
        else:
            found = [float(one) for one in split(text)]
    except ValueError:
        found = []
    if not found or not all(0.0 < rate < float("inf") for rate in found):
        raise ValueError(f"--rates is FIRST:LAST:COUNT, like {RATES}, or a list, not {brief(text)}")
    return found

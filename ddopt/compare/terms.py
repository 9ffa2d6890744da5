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
MOST_RATES = 1000


@dataclass(frozen=True)
class Terms:
    """What was asked for; ``every`` is the evaluations between two measurements."""

    evaluations: float | None
    seconds: float | None
    seeds: int
    rates: Sequence[float]
    every: float | None = None

    def budget(self, configured: Stop) -> Stop:
        """The one limit of all runs; raises ``ValueError`` if there is none, or two."""
        from ddopt.setup.config import Stop

        evaluations, seconds = self.evaluations, self.seconds
        if evaluations is not None and seconds is not None:
            raise ValueError("the budget is --evaluations or --seconds; give one of them")
        if evaluations is None and seconds is None:
            evaluations = configured.evaluations
            seconds = configured.seconds if evaluations is None else None
        if evaluations is None and seconds is None:
            raise ValueError(
                "the run file has neither stop.evaluations nor stop.seconds, and runs are compared "
                "at an equal budget only: give --evaluations or --seconds"
            )
        return Stop(evaluations=evaluations, seconds=seconds)


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
    from ddopt.compare.contest import Contest
    from ddopt.compare.score import total

    ours = entry.strategies(config, others)
    theirs = entry.opponents(ours[0].config, baselines)
    stop = terms.budget(ours[0].config.stop)
    every = terms.every or (stop.evaluations or 1000.0) / 100
    say = click.echo if show else (lambda _: None)
    runs = total(len(ours), [one.tuned for one in theirs], terms.seeds, len(terms.rates))
    contest = Contest(folder, stop, terms.seeds, terms.rates, every, say, runs)
    warm(ours[0].config)  # first: what cannot run leaves no folder behind
    with contest.claimed(ours[0].config):
        rows = []
        for one in ours:
            row = contest.strategy(one)
            if row is None:
                return False
            rows.append(row)
        rows += [contest.opponent(one) for one in theirs]
        title = f"Comparison on {name}"
        first = ours[0].config.seed
        seeds = range(first, first + terms.seeds)
        remarks = table.notes(rows, stop, seeds)
        table.write(folder, rows, title, remarks, (stop, seeds))
        figure.draw(folder, rows, title, seeds)
    if show:
        table.show(rows, title)
        for remark in remarks:
            click.echo(remark)
    return True


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

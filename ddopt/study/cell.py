"""A cell of a study: one method on one problem with one choice of what varies, at every seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddopt.compare.entry import Opponent, Strategy, slug
from ddopt.compare.score import Effort, Row, read
from ddopt.setup.config import Output
from ddopt.study.job import Job, seeded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ddopt.compare.score import Outcome
    from ddopt.setup.config import Stop


@dataclass(frozen=True)
class Cell:
    """What its runs have in common; ``entry`` has the config of all of them."""

    folder: Path
    label: str
    entry: Strategy | Opponent
    stop: Stop
    seeds: Sequence[int]
    every: float  # evaluations between two measurements
    rates: Sequence[float] = ()  # to be tried on the first seed
    where: dict[str, Any] = field(default_factory=dict)  # the problem, and what varies
    processes: int = 1

    @property
    def most(self) -> int:
        """How many runs it has in all."""
        return len(self.seeds) + max(0, len(self.rates) - 1)

    def job(self, seed: int, rate: float | None = None) -> Job:
        """The run at a seed, and at a rate."""
        entry, folder, label = self.entry, self.folder, f"{self.label}, seed {seed}"
        changes: dict[str, Any] = {"seed": seed, "stop": self.stop}
        if isinstance(entry, Opponent):
            entry = entry if rate is None else entry.at(rate)
            if entry.rate is not None:
                folder /= f"rate-{entry.rate:.3e}"
                label = f"{self.label}, rate {entry.rate:.1e}, seed {seed}"
        else:
            # An outer iteration of a decomposed strategy costs about as much as ten others.
            each = 1 if entry.subdomains > 1 else max(1, round(self.every))
            changes["output"] = Output(measure_every=each, figures=False)
        made = seeded(entry, **changes)
        return Job(label, made, folder / f"seed-{seed}", self.every, self.processes)

    def sweep(self) -> list[Job]:
        """The runs that choose the rate."""
        return [self.job(self.seeds[0], rate) for rate in self.rates]

    def best(self) -> float | None:
        """The rate with the smallest last loss on the first seed; None where none is tried yet."""
        tried = [job for job in self.sweep() if job.failure is None]
        return min(
            zip(self._losses(tried), (job.entry.rate for job in tried), strict=True),  # type: ignore[union-attr]
            key=lambda pair: pair[0],
            default=(0.0, None),
        )[1]

    def _losses(self, jobs: Sequence[Job]) -> list[float]:
        return [read(job.folder, self.stop).loss for job in jobs]

    def runs(self) -> list[Job]:
        """The runs that the row is made of; none while the rate is not chosen."""
        if not self.rates:
            return [self.job(seed) for seed in self.seeds]
        if not all(job.done for job in self.sweep()):
            return []
        rate = self.best()
        return [] if rate is None else [self.job(seed, rate) for seed in self.seeds]

    def missing(self) -> list[Job]:
        """The runs that can be run now."""
        return [job for job in [*self.sweep(), *self.runs()] if not job.done]

    def row(self) -> Row:
        """What has come of the runs that are over."""
        runs = self.runs()
        over = [job for job in runs if job.done and job.failure is None]
        failed = [job for job in [*self.sweep(), *runs] if job.failure is not None]
        swept = [job for job in self.sweep() if job.done and job.failure is None]
        tried = {job.entry.rate: read(job.folder, self.stop) for job in swept}  # type: ignore[union-attr]
        chosen = runs[0].entry if runs else self.entry
        rate = getattr(chosen, "rate", None)
        others: list[Outcome] = [outcome for key, outcome in tried.items() if key != rate]
        return Row(
            self.label,
            [read(job.folder, self.stop) for job in over],
            self.entry.subdomains if isinstance(self.entry, Strategy) else 1,
            rate,
            tried={key: outcome.loss for key, outcome in tried.items() if key is not None},
            look=self.entry.look,
            seeds=[job.config.seed for job in over],
            sweep=Effort.of(others),
            where=self.where,
            failures=list(dict.fromkeys(f"{job.label}: {job.failure}" for job in failed)),
        )


def of_entry(
    folder: Path,
    entry: Strategy | Opponent,
    stop: Stop,
    seeds: Sequence[int],
    rates: Sequence[float],
    every: float,
) -> Cell:
    """The cell of a comparison: a method by its own name."""
    label = entry.label if isinstance(entry, Strategy) else entry.name
    tuned = isinstance(entry, Opponent) and entry.tuned
    return Cell(folder / slug(label), label, entry, stop, seeds, every, rates if tuned else ())

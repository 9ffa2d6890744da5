"""What a run came to within the budget, and what several seeds say together."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ddopt.compare.objective import LIMITS
from ddopt.run import record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ddopt.setup.config import Stop

EPSILON = 1e-9  # counts are sums of fractions
WORK = "processor_seconds"


@dataclass(frozen=True)
class Merit:
    """The figure that is compared: the first of these that the task reports."""

    key: str
    label: str
    higher: bool = False

    def show(self, value: float) -> str:
        """A number as people read it."""
        if not math.isfinite(value):
            return "-"
        return f"{value:.2%}" if self.higher else f"{value:.2e}"


MERITS = (
    Merit("error", "relative L2 error"),
    Merit("accuracy", "test accuracy", higher=True),
    Merit("validation_loss", "validation loss"),
    Merit("loss", "training loss"),
)


@dataclass(frozen=True)
class Outcome:
    """One run: its lines within the budget, and why it ended."""

    lines: list[dict[str, Any]]
    reason: str  # a stop reason, of the baseline's own where it ended by itself

    def last(self, key: str) -> float:
        """The last value of a key; not-a-number if it is missing or was not finite."""
        found = [line[key] for line in self.lines if key in line]
        return math.nan if not found or found[-1] is None else float(found[-1])

    @property
    def loss(self) -> float:
        """The last training loss; infinite if it is no number."""
        value = self.last("loss")
        return value if math.isfinite(value) else math.inf


def read(folder: Path, stop: Stop) -> Outcome:
    """A run's lines within the budget; the last iterate that is beyond it does not count."""
    limits = [(key, getattr(stop, key)) for key in LIMITS]
    lines = record.read(folder)
    inside = [
        line
        for line in lines
        if all(limit is None or line[key] <= limit + EPSILON for key, limit in limits)
    ]
    summary = json.loads((folder / record.SUMMARY).read_text(encoding="utf-8"))
    return Outcome(inside or lines[:1], summary["stop_reason"])


@dataclass(frozen=True)
class Effort:
    """What some runs took together."""

    runs: int = 0
    evaluations: float = 0.0
    processor_seconds: float = 0.0

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Effort:
        """The sum over runs; of their last lines within the budget."""
        spent = [sum(one.last(key) for one in outcomes) for key in ("evaluations_total", WORK)]
        return cls(len(outcomes), *spent)


@dataclass(frozen=True)
class Row:
    """One entry of the table: its runs over the seeds."""

    label: str
    outcomes: Sequence[Outcome]
    subdomains: int = 1
    rate: float | None = None
    tried: dict[float, float] = field(default_factory=dict)  # last loss at each rate, first seed
    look: int | None = None  # the method's place in the palette
    seeds: Sequence[int] = ()
    sweep: Effort = Effort()  # of the rates that were tried and not chosen
    where: dict[str, Any] = field(default_factory=dict)  # the problem, and what a study varies
    failures: Sequence[str] = ()  # runs without a result, each with its reason

    @property
    def title(self) -> str:
        """The label, with the rate that was chosen."""
        return self.label if self.rate is None else f"{self.label}, rate {self.rate:.1e}"

    def values(self, key: str) -> list[float]:
        """The last value of each seed."""
        return [outcome.last(key) for outcome in self.outcomes]


def total(strategies: int, tuned: Sequence[bool], seeds: int, rates: int) -> int:
    """How many runs a comparison has; a baseline with a rate tries all rates on the first seed."""
    return strategies * seeds + sum(seeds - 1 + rates if one else seeds for one in tuned)


def merit_of(rows: Sequence[Row]) -> Merit:
    """The figure that these runs can be compared by."""
    there = {key for row in rows for outcome in row.outcomes for key in outcome.lines[0]}
    return next(merit for merit in MERITS if merit.key in there)


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean."""
    return statistics.fmean(values)


def spread(values: Sequence[float]) -> float:
    """The standard deviation of a sample; not-a-number for a single one."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def geometric(values: Sequence[float]) -> float:
    """The geometric mean: 0 if one is 0; not-a-number if one is negative, or no number."""
    if not all(value >= 0.0 and math.isfinite(value) for value in values):
        return math.nan
    if 0.0 in values:
        return 0.0
    return math.exp(statistics.fmean(math.log(value) for value in values))

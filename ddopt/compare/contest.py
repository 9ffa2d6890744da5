"""A comparison: every entry at every seed, in folders that a second call finds again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING

import tomli_w

from ddopt.compare import carry_out
from ddopt.compare.entry import Opponent, Strategy, slug
from ddopt.compare.score import MERITS, Outcome, Row, read
from ddopt.compare.ticker import Ticker
from ddopt.run import files
from ddopt.run.lock import Lock
from ddopt.run.progress import duration
from ddopt.setup.config import Output, RunConfig, Stop, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

COMMON = ("problem", "sampling", "dtype", "device", "threads", "reduction")
CLAIM = "problem.toml"


@dataclass(frozen=True)
class Contest:
    """What all entries have in common; ``every`` is the evaluations between two measurements."""

    folder: Path
    stop: Stop
    seeds: int
    rates: Sequence[float]
    every: float
    say: Callable[[str], None]
    runs: int = 1  # how many there are in all
    done: list[float] = field(default_factory=list)  # seconds of each that is over; 0: was kept

    @contextmanager
    def claimed(self, config: RunConfig) -> Iterator[None]:
        """The folder is this problem's, and meanwhile this process's.

        Raises ``ValueError`` if it is another one's.
        """
        settings = plain(config.model_dump(include=set(COMMON)))
        text, path = tomli_w.dumps(settings), self.folder / CLAIM
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ValueError(
                f"{self.folder} holds a comparison on something else: see {CLAIM} in it; give "
                "another folder with --out"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.folder)
        try:
            files.write_text(path, text)
            yield
        finally:
            lock.release()

    def strategy(self, entry: Strategy) -> Row | None:
        """Run one of our own at every seed; None if it was interrupted."""
        # An outer iteration of a decomposed strategy costs about as much as ten others.
        each = 1 if entry.subdomains > 1 else max(1, round(self.every))
        output = Output(measure_every=each, figures=False)
        outcomes = []
        for seed in range(entry.config.seed, entry.config.seed + self.seeds):
            changes = {"seed": seed, "stop": self.stop, "output": output}
            one = replace(entry, config=entry.config.model_copy(update=changes))
            folder = self.folder / slug(entry.label) / f"seed-{seed}"
            kept = carry_out.done(folder, self.stop)
            began = perf_counter()
            ticker = self._ticker(f"{entry.label}, seed {seed}")
            if not kept and not carry_out.own(one, folder, ticker):
                return None
            outcomes.append(read(folder, self.stop))
            self._tell(f"{entry.label}, seed {seed}", outcomes[-1], began, kept)
        return Row(entry.label, outcomes, entry.subdomains, look=entry.look)

    def opponent(self, entry: Opponent) -> Row:
        """Run a baseline at every seed, at the rate with the smallest last loss on the first."""
        first = entry.config.seed
        tried: dict[float, float] = {}
        outcomes: list[Outcome] = []
        if entry.tuned:
            known = {rate: self._once(entry.at(rate), first) for rate in self.rates}
            tried = {rate: outcome.loss for rate, outcome in known.items()}
            rate = min(tried, key=lambda rate: tried[rate])
            entry, outcomes = entry.at(rate), [known[rate]]
        for seed in range(first + len(outcomes), first + self.seeds):
            outcomes.append(self._once(entry, seed))
        return Row(entry.name, outcomes, rate=entry.rate, tried=tried, look=entry.look)

    def _once(self, entry: Opponent, seed: int) -> Outcome:
        config = entry.config.model_copy(update={"seed": seed, "stop": self.stop})
        folder, label = self.folder / slug(entry.name), entry.name
        if entry.rate is not None:
            folder, label = folder / f"rate-{entry.rate:.3e}", f"{label}, rate {entry.rate:.1e}"
        folder /= f"seed-{seed}"
        kept, began = carry_out.done(folder, self.stop), perf_counter()
        if not kept:
            ticker = self._ticker(f"{label}, seed {seed}")
            carry_out.other(replace(entry, config=config), folder, self.every, ticker)
        outcome = read(folder, self.stop)
        self._tell(f"{label}, seed {seed}", outcome, began, kept)
        return outcome

    def _ticker(self, label: str) -> Ticker:
        return Ticker(f"[{len(self.done) + 1} of {self.runs}] {label}", self.stop)

    def _tell(self, label: str, outcome: Outcome, began: float, kept: bool) -> None:
        self.done.append(0.0 if kept else perf_counter() - began)
        merit = next(merit for merit in MERITS if merit.key in outcome.lines[0])
        early = "" if outcome.reason in carry_out.LIMITS else f", stop reason {outcome.reason}"
        self.say(
            f"[{len(self.done)} of {self.runs}{self._left()}] {label}: "
            f"{merit.label} {merit.show(outcome.last(merit.key))}, loss "
            f"{outcome.last('loss'):.2e}, {outcome.last('evaluations'):.6g} evaluations, "
            f"{outcome.last('seconds'):.3g} s{early}{' (kept)' if kept else ''}"
        )

    def _left(self) -> str:
        """How long the rest will take, if it takes as long as what has been run."""
        ran = [seconds for seconds in self.done if seconds]
        rest = self.runs - len(self.done)
        if not ran or not rest:
            return ""
        return f", about {duration(rest * sum(ran) / len(ran))} left"

"""One run of a study: what is run, where, and what came of it, also where that is a failure."""

from __future__ import annotations

import json
import shutil
import tomllib
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddopt.compare import carry_out
from ddopt.compare.entry import Opponent, Strategy
from ddopt.run import files
from ddopt.run.folder import CONFIG, load_again, refuse_changes
from ddopt.setup.component import chosen
from ddopt.setup.config import dumps, load_given, plain

if TYPE_CHECKING:
    from ddopt.compare.ticker import Ticker
    from ddopt.setup.config import RunConfig

FAILURE = "failure.json"


@dataclass(frozen=True)
class Job:
    """A run of an entry, whose config has its seed and its budget, in a folder of its own."""

    label: str
    entry: Strategy | Opponent
    folder: Path
    every: float  # evaluations between two measurements of a baseline
    processes: int = 1

    @property
    def config(self) -> RunConfig:
        """What is run."""
        return self.entry.config

    @property
    def done(self) -> bool:
        """Whether it is over: finished with at least this budget, or failed."""
        return self.failure is not None or carry_out.done(self.folder, self.config.stop)

    @property
    def failure(self) -> str | None:
        """Why it failed, if it did."""
        path = self.folder / FAILURE
        if not path.exists():
            return None
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])

    def forget(self) -> None:
        """Let a failed run be run again."""
        if self.failure is not None:
            shutil.rmtree(self.folder)

    def refuse_other(self) -> None:
        """Raise ``ValueError`` where its folder holds a run of ours with other settings."""
        if isinstance(self.entry, Strategy) and (self.folder / CONFIG).exists():
            refuse_changes(self.folder, load_again(self.folder), self.config)

    def perform(self, ticker: Ticker) -> bool:
        """Run it, or go on with it where it was interrupted; False if it was again."""
        if isinstance(self.entry, Opponent):
            carry_out.other(self.entry, self.folder, self.every, ticker)
            return True
        if self.processes == 1:
            return carry_out.own(self.entry, self.folder, ticker)
        from ddopt.executor.launch import launch

        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.folder / CONFIG, dumps(self.config))
        try:
            launch(["resume", str(self.folder)], self.processes)
        except RuntimeError as error:  # of a process, which has said why
            raise ValueError(str(error)) from error
        return carry_out.done(self.folder, self.config.stop)

    def fail(self, error: BaseException | str) -> str:
        """Write down why there is no result; returns the reason."""
        reason = error if isinstance(error, str) else str(error) or type(error).__name__
        if not isinstance(error, (ValueError, ModuleNotFoundError, str)):
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}, line {last.lineno}"
            reason = f"{type(error).__name__}: {reason} ({place})"
        self.folder.mkdir(parents=True, exist_ok=True)
        files.write_text(self.folder / FAILURE, json.dumps({"reason": reason}) + "\n")
        return reason

    def told(self) -> dict[str, Any]:
        """It for another process, in plain words."""
        found = {"label": self.label, "folder": str(self.folder), "every": self.every}
        found |= {"processes": self.processes, "config": dumps(self.config)}
        if isinstance(self.entry, Opponent):
            settings = self.entry.settings
            options = plain(settings.model_dump())
            found |= {"baseline": {"name": settings.component.name, **options}}
            found |= {"rate": self.entry.rate}
        return found


def heard(told: dict[str, Any]) -> Job:
    """The job that another process has told of."""
    config = load_given(tomllib.loads(told["config"]), {})
    entry: Strategy | Opponent = Strategy(config)
    if "baseline" in told:
        entry = Opponent(chosen("baseline", told["baseline"]), config, told["rate"])
    words = {key: told[key] for key in ("label", "every", "processes")}
    return Job(entry=entry, folder=Path(told["folder"]), **words)


def seeded(entry: Strategy | Opponent, **changes: Any) -> Strategy | Opponent:
    """An entry whose config has another seed, budget or output."""
    return replace(entry, config=entry.config.model_copy(update=changes))

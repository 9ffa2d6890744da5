"""The plan of a study: from its file to the cells, each with the config of its runs."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, cast

from ddopt.compare.entry import Opponent, Strategy, slug
from ddopt.setup.component import chosen
from ddopt.setup.config import load_given
from ddopt.study.cell import Cell
from ddopt.study.settings import BASELINE, MOST, Method, Problem
from ddopt.study.tidy import short, show

if TYPE_CHECKING:
    from pathlib import Path

    from ddopt.compare.baseline import Baseline
    from ddopt.setup.config import RunConfig, Stop
    from ddopt.study.settings import Study, Varied


def points(varied: Varied) -> list[dict[str, Any]]:
    """Every choice of what varies: combinations of the grid, with each of the listed points."""
    keys, values = list(varied.grid), product(*varied.grid.values())
    grid = [dict(zip(keys, some, strict=True)) for some in values]
    return [{**one, **other} for one in grid for other in varied.points or [{}]]


def cells(study: Study, file: Path, folder: Path) -> list[Cell]:
    """All cells, in the order of the file; paths of run files are relative to it.

    Raises ``ConfigError`` for a setting that is wrong, ``ModuleNotFoundError`` where a package is
    missing, and ``ValueError`` where two cells cannot be told apart, or there are too many runs.
    """
    found = []
    problems = study.problems or [Problem(run=study.run or "")]
    for problem in problems:
        for shared in points(study):
            for own in points(problem):
                for method in study.methods:
                    varied = {**shared, **own}
                    maker = _Maker(study, problem, method, file.parent / problem.run, folder)
                    found += [maker.cell(varied, point) for point in points(method)]
    places = [cell.folder for cell in found]
    if len(set(places)) < len(places):
        twice = next(cell.label for cell in found if places.count(cell.folder) > 1)
        raise ValueError(f"two methods of the study are {twice!r}; give each a name of its own")
    runs = sum(cell.most for cell in found)
    if runs > MOST:
        raise ValueError(f"the study has {runs:,} runs; {MOST:,} are the most it may have")
    return found


class _Maker:
    """Makes the cells of one method on one problem."""

    def __init__(
        self, study: Study, problem: Problem, method: Method, file: Path, folder: Path
    ) -> None:
        self._study, self._problem, self._method = study, problem, method
        self._file, self._folder = file, folder

    def cell(self, varied: dict[str, Any], own: dict[str, Any]) -> Cell:
        """The cell where the study and the problem have chosen ``varied``, the method ``own``."""
        study, problem, method = self._study, self._problem, self._method
        changes = {**study.set, **problem.set, **varied, **method.set, **own}
        options = {
            key.removeprefix(BASELINE): changes.pop(key)
            for key in list(changes)
            if key.startswith(BASELINE)
        }
        stop = problem.stop or study.stop
        if stop is not None:  # the run file's may not be enough for a strategy
            changes["stop"] = stop.model_dump(exclude_none=True)
        config = load_given(self._file, changes)
        entry = self._entry(config, options)
        label = method.name or (entry.label if isinstance(entry, Strategy) else entry.name)
        choice = {**varied, **own}
        name = problem.name or self._file.stem
        place = self._folder / slug(name) if study.problems else self._folder
        parts = [slug(label), *(slug(f"{key} {value}") for key, value in choice.items())]
        said = ", ".join([label, *(f"{short(key)} {show(choice[key])}" for key in choice)])
        budget = config.stop
        return Cell(
            place / "_".join(parts),
            said if study.run else f"{name}: {said}",
            entry,
            budget,
            study.seeds,
            study.every or _interval(budget),
            self._rates(entry),
            {"problem": name, "method": label, **choice},
            min(method.processes, entry.subdomains) if isinstance(entry, Strategy) else 1,
        )

    def _entry(self, config: RunConfig, options: dict[str, Any]) -> Strategy | Opponent:
        given = self._method.baseline
        if given is None:
            return Strategy(config)
        table = {"name": given} if isinstance(given, str) else dict(given)
        settings = chosen("baseline", {**table, **options})
        cast("Baseline", settings.build()).check()
        fixed = cast("type[Baseline]", settings.component).tuned and not self._may_try(options)
        return Opponent(settings, config, settings.rate if fixed else None)

    def _may_try(self, options: dict[str, Any]) -> bool:
        """Whether the rate is chosen by a sweep."""
        rates = self._study.rates if self._method.rates is None else self._method.rates
        return bool(rates) and "rate" not in options

    def _rates(self, entry: Strategy | Opponent) -> list[float]:
        if isinstance(entry, Strategy) or not entry.tuned or entry.rate is not None:
            return []
        return self._study.rates if self._method.rates is None else self._method.rates


def _interval(stop: Stop) -> float:
    return (stop.evaluations or 1000.0) / 100

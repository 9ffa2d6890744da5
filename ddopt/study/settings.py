"""The study file: which problems, which methods, what varies, how long, how often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from ddopt.compare.terms import RATES, learning_rates
from ddopt.setup.component import Settings
from ddopt.setup.config import ConfigError, Stop, read
from ddopt.setup.limits import brief
from ddopt.setup.overrides import KEY

if TYPE_CHECKING:
    from pathlib import Path

BASELINE = "baseline."  # keys that begin with it are options of a method's baseline
MOST = 100_000  # runs of a study


def _dotted(keys: dict[str, Any]) -> dict[str, Any]:
    for key in keys:
        if not KEY.match(key):
            raise ValueError(f'a dotted key like "solver.radius" is expected, not {brief(key)}')
    return keys


def _seeds(given: Any) -> Any:
    """A number of seeds counts from 0."""
    return list(range(given)) if isinstance(given, int) and 0 < given <= MOST else given


def _rates(given: Any) -> Any:
    return list(learning_rates(given)) if isinstance(given, str) else given


Changes = Annotated[dict[str, Any], AfterValidator(_dotted)]
Grid = Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], AfterValidator(_dotted)]
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_seeds), Field(min_length=1)]
Rates = Annotated[list[Annotated[float, Field(gt=0.0)]], BeforeValidator(_rates)]


class Varied(Settings):
    """What varies: all combinations of ``grid``, each with every entry of ``points``."""

    set: Changes = Field({}, description="dotted keys that are the same in all of these runs")
    grid: Grid = Field({}, description="dotted keys with the values of each; all combinations")
    points: list[Changes] = Field([], description="tables of dotted keys that change together")


class Problem(Varied):
    """A run file, with changes; its strategy is that of the methods."""

    name: str | None = Field(None, min_length=1, description="in tables; by default the file's")
    run: str = Field(description="a run file, relative to the study file")
    stop: Stop | None = Field(None, description="the budget of this problem; otherwise the study's")
    published: str = Field("", description="what others have published, for the page")


class Method(Varied):
    """One of our strategies, by changes of the run file, or a baseline."""

    name: str | None = Field(None, min_length=1, description="in tables")
    baseline: str | dict[str, Any] | None = Field(
        None, description="a baseline by its name, or a table with its name and options"
    )
    rates: Rates | None = Field(
        None, description="learning rates to try; [] to keep that of the baseline"
    )
    processes: int = Field(1, ge=1, le=1024, description="of each run of a strategy")

    @model_validator(mode="after")
    def _one(self) -> Method:
        options = [key for key in self.grid if key.startswith(BASELINE)]
        if self.baseline is None and (options or self.rates is not None):
            raise ValueError("rates and keys under baseline. are for a method with a baseline")
        return self


class Picture(Settings):
    """A figure that is made of the table."""

    kind: Literal["curves", "overview", "sensitivity", "heatmap", "scaling"] = Field(
        "curves",
        description="merit against what was paid; against processor seconds, a panel for each "
        "problem; against each key that varies; over two keys; against the number of subdomains",
    )
    merit: str = Field(
        "", description="what is drawn: loss, error, ...; by default the figure of merit"
    )
    x: str = Field("", description="heatmap: the key along x")
    y: str = Field("", description="heatmap: the key along y")


class Study(Varied):
    """Everything that decides a study."""

    title: str = Field("", description="over tables and figures; by default the file's name")
    about: str = Field("", description="what is asked, and what is reduced: stands on the page")
    run: str | None = Field(None, description="the run file of the only problem")
    problems: list[Problem] = Field([], description="several problems")
    methods: list[Method] = Field([], description="methods; by default the run file's strategy")
    seeds: Seeds = Field([0, 1, 2], description="a list, or how many from 0 on")
    rates: Rates = Field(
        list(learning_rates(RATES)), description="learning rates that baselines with one may try"
    )
    stop: Stop | None = Field(None, description="the budget; by default the run file's")
    every: float | None = Field(
        None, gt=0.0, description="evaluations between two measurements; by default 1 % of them"
    )
    targets: list[float] = Field([], description="figures of merit: what it took to reach them")
    columns: list[str] = Field([], description="more columns, by their keys in metrics.jsonl")
    figures: list[Picture] = Field([Picture()], description="what is drawn")

    @model_validator(mode="after")
    def _whole(self) -> Study:
        if (self.run is None) == (not self.problems):
            raise ValueError("give run, the run file of one problem, or problems, several of them")
        object.__setattr__(self, "methods", self.methods or [Method()])  # frozen
        return self


def load(file: Path) -> Study:
    """The study in a file; raises ``ConfigError`` that names file, key and what is expected."""
    from ddopt.setup.options import explain

    table = read(file)
    try:
        return Study.model_validate(table)
    except ValidationError as error:
        lines = [f"{file}: {key}: {text}" for key, text in explain(error, Study, table)]
        raise ConfigError("\n".join(lines)) from None

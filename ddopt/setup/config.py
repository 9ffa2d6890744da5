"""The run file: TOML and dotted overrides become one frozen model."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tomli_w
from pydantic import Field, ValidationError, model_validator

from ddopt.setup import overrides
from ddopt.setup.component import Chosen, Settings
from ddopt.setup.limits import NESTED, brief, refuse_extremes
from ddopt.setup.options import complete, explain
from ddopt.setup.resolved import resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


FREE = ("stop", "output")  # what a resumed run may change without changing its bits


class ConfigError(ValueError):
    """A run file or an override is wrong; the message says where and what to do."""


class Stop(Settings):
    """When a run ends; the first that is reached."""

    iterations: int | None = Field(default=None, ge=0, description="outer iterations")
    evaluations: float | None = Field(
        default=None,
        gt=0.0,
        description="full gradients per process, as if each subdomain had its own",
    )
    seconds: float | None = Field(
        default=None, gt=0.0, allow_inf_nan=True, description="seconds of training"
    )
    processor_seconds: float | None = Field(
        default=None, gt=0.0, description="seconds of work, of all processes together"
    )
    loss: float | None = Field(default=None, description="the loss falls to this")
    error: float | None = Field(
        default=None,
        gt=0.0,
        description="the error falls to this; for problems with a reference",
    )

    @model_validator(mode="after")
    def _ends(self) -> Stop:
        if all(getattr(self, key) is None for key in type(self).model_fields):
            raise ValueError(
                f"give at least one of {', '.join(type(self).model_fields)}, so that the run ends"
            )
        return self


class Output(Settings):
    """What a run writes beside its metrics."""

    measure_every: int = Field(
        default=10, ge=1, description="iterations between two measurements of error or accuracy"
    )
    checkpoint_every: Annotated[int, Field(ge=0)] | Literal["none"] | None = Field(
        default=None,
        description="iterations between two checkpoints; 0: only at the end; none: no checkpoint "
        "at all, and a run that is resumed begins again; by default 50, or a minute, or more where "
        "writing them would take over a twentieth of the time",
    )
    figures: bool = Field(default=True, description="draw figures at the end; needs matplotlib")
    frames: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="frames of an animation, for problems in time; 0: none",
    )
    keep_best: bool = Field(
        default=False, description="keep the parameters of the smallest loss in best.pt"
    )


class RunConfig(Settings):
    """Everything that decides a run; ``load`` and ``load_given`` give it with nothing left open."""

    problem: Annotated[Settings, Chosen("problem")] = Field(description="what is trained")
    strategy: Annotated[Settings, Chosen("strategy")] = Field(
        "sapts_d", validate_default=True, description="the method"
    )
    solver: Annotated[Settings, Chosen("solver")] = Field(
        "trust_region", validate_default=True, description="its local and global solver"
    )
    sampling: Annotated[Settings, Chosen("sampling")] = Field(
        "full", validate_default=True, description="which samples each iteration sees"
    )
    seed: int = Field(0, ge=0, description="seed of the data and of the first parameters")
    dtype: Literal["float64", "float32"] = Field("float64", description="numbers of the parameters")
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu", description="where tensors live; auto: cuda where there is one"
    )
    threads: int = Field(
        1, ge=1, le=1024, description="threads of one operation; the bits depend on it"
    )
    executor: Annotated[Settings, Chosen("executor")] = Field(
        "serial",
        validate_default=True,
        description="who evaluates what the subdomains of one process ask; serial: one after the "
        "other; batched: all at once, equal up to round-off",
    )
    reduction: Literal["ordered", "fast"] = Field(
        "ordered",
        description="ordered: the same bits for any number of processes; fast: they depend on it",
    )
    plugins: tuple[str, ...] = Field((), description="files to load as plugins")
    stop: Stop = Field(description="when the run ends, for example iterations = 100")
    output: Output = Field(Output(), description="what is written, and how often")


@dataclass(frozen=True)
class _Source:
    """Where a config comes from, for messages; ``file`` is None for a table of Python."""

    file: Path | None
    changed: list[tuple[list[str], Any]]  # the overrides
    by: str = "on the command line"  # who gave them
    recorded: bool = False  # the file of a run which goes on: plugins have had their say

    def blame(self, key: str) -> str:
        """The file, or the override that set the key."""
        path = key.split(".")
        by_hand = any(path[: len(changed)] == changed for changed, _ in self.changed)
        if by_hand or self.file is None:
            return f"{key} {self.by if by_hand else ''}".rstrip()
        return f"{self.file}: {key}".rstrip(": ")


def load(
    file: Path,
    changes: Sequence[str] = (),
    plugin_files: Iterable[str | Path] = (),
    *,
    recorded: bool = False,
) -> RunConfig:
    """Read a run file, apply ``KEY=VALUE`` changes, load the plugin files, and validate.

    Plugins may change the table in between (``ddopt_configure``), but not what was changed by hand,
    and not where it is ``recorded``, that of a run which goes on. Raises ``ConfigError`` with one
    readable message.
    """
    table = read(file)
    try:
        parsed = [overrides.parse(change) for change in changes]
        source = _Source(file, parsed, recorded=recorded)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return _settled(table, source, plugin_files)


def load_given(given: Path | Mapping[str, Any], changes: Mapping[str, Any]) -> RunConfig:
    """The config of a run file, or of a table in its form, with dotted keys set to values.

    The values are Python's, and components may be given as objects. Raises ``ConfigError``.
    """
    file = given if isinstance(given, Path) else None
    table = read(given) if isinstance(given, Path) else dict(given)
    changed = [(key.split("."), value) for key, value in changes.items()]
    try:
        refuse_extremes(table)
        for path, value in changed:
            refuse_extremes({path[-1]: value}, ".".join(path[:-1]))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return _settled(table, _Source(file, changed, "in the call"), ())


def _settled(
    table: dict[str, Any], source: _Source, plugin_files: Iterable[str | Path]
) -> RunConfig:
    table = overrides.apply(table, source.changed)
    table["plugins"] = _load_plugins(table.get("plugins", []), plugin_files, source)
    asked = _branches(table)
    if not source.recorded:
        table = overrides.apply(_configured(table), source.changed)
    table = complete(RunConfig, table)
    try:
        given = RunConfig.model_validate(table)
    except ValidationError as error:
        found = explain(error, RunConfig, table)
        lines = [
            f"{source.blame(key)}: {text}{_by_plugins(key, asked, table)}" if key else text
            for key, text in found
        ]
        raise ConfigError("\n".join(lines)) from None
    try:
        strategy, solver = resolve(given.strategy, given.solver, given.sampling)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return given.model_copy(update={"strategy": strategy.config, "solver": solver})


def _by_plugins(key: str, given: dict[str, Any], table: dict[str, Any]) -> str:
    """Whose a value is that the file does not have."""
    from ddopt.setup.plugins import manager

    before, after = (_at(one, key) for one in (given, table))
    who = manager().implementing("ddopt_configure") if before != after else []
    return f" (as ddopt_configure of {' or '.join(who)} has set it)" if who else ""


def _branches(table: dict[str, Any]) -> dict[str, Any]:
    """The same table anew, with the same leaves, which may be objects."""
    return {key: _branches(one) if isinstance(one, dict) else one for key, one in table.items()}


def _at(table: Any, key: str) -> Any:
    for part in key.split("."):
        table = table.get(part) if isinstance(table, dict) else None
    return table


def _configured(table: dict[str, Any]) -> dict[str, Any]:
    """The table as plugins want it."""
    from ddopt.setup.plugins import manager

    manager().call("ddopt_configure", table=table)
    return table


def read(file: Path) -> dict[str, Any]:
    """The table of a TOML file; raises ``ConfigError`` naming the file and the place."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        refuse_extremes(table)
        return table
    except IsADirectoryError:
        advice = f"; it is a run: ddopt resume {file}" if (file / "config.toml").exists() else ""
        raise ConfigError(f"{file} is a folder; expected a run file{advice}") from None
    except OSError as error:
        absent = "; 'ddopt init --list' lists the run files that come with ddopt"
        hint = _like(file) or (absent if isinstance(error, FileNotFoundError) else "")
        raise ConfigError(f"cannot read {file}: {error.strerror}{hint}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML file: {error}") from None
    except RecursionError:
        raise ConfigError(f"{file}: {NESTED}") from None
    except ValueError as error:  # an integer that Python refuses to read, or one of ours
        raise ConfigError(f"{file}: {error}") from None


def _like(file: Path) -> str:
    from ddopt.setup.registry import nearest

    folder = file.parent
    there = [path.stem for path in folder.glob("*.toml")] if folder.is_dir() else []
    there = [stem for stem in there if stem != file.stem]  # it may be there, and unreadable
    hint = nearest(file.stem, there)  # without the suffix, which all have in common
    return "." + hint.replace("'?", ".toml'?") if hint else ""


def _load_plugins(listed: Any, given: Iterable[str | Path], source: _Source) -> list[str]:
    """Load the plugin files of the run file (relative to it) and of the command line."""
    from ddopt.setup.plugins import manager

    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ConfigError(
            f"{source.blame('plugins')}: a list of files is expected, not {brief(listed)}"
        )
    beside = source.file.parent if source.file is not None else Path()
    files = [*(beside / name for name in listed), *map(Path, given)]
    try:
        for path in files:
            manager().load_file(path)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return [str(path) for path in dict.fromkeys(path.resolve() for path in files)]


def dumps(config: RunConfig) -> str:
    """The config as TOML that reads back to the same model."""
    return tomli_w.dumps(plain(config.model_dump()))


def settings(config: RunConfig) -> dict[str, Any]:
    """All settings that decide the numbers of a run: not when it ends, nor what it writes."""
    table = plain(config.model_dump(exclude={*FREE, "plugins"}), nothing=True)
    return dict(table)


def plain(value: Any, *, nothing: bool = False) -> Any:
    """``value`` in the types that TOML and JSON have; without entries that are ``nothing``."""
    if isinstance(value, dict):
        kept = {key: inner for key, inner in value.items() if nothing or inner is not None}
        return {str(key): plain(inner, nothing=nothing) for key, inner in kept.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner, nothing=nothing) for inner in value]
    if isinstance(value, Enum):
        return plain(value.value, nothing=nothing)
    return str(value) if isinstance(value, Path) else value

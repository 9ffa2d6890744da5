"""The entries of a comparison: who takes part, and under which name it is written down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ddopt.setup.component import lookup
from ddopt.setup.plugins import manager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ddopt.compare.baseline import Baseline
    from ddopt.method.strategy import Strategy as Method
    from ddopt.setup.component import Settings
    from ddopt.setup.config import RunConfig


@dataclass(frozen=True)
class Strategy:
    """One of our own strategies, with the run that it describes."""

    config: RunConfig

    @property
    def label(self) -> str:
        """The strategy's name, with its number of subdomains."""
        name = self.config.strategy.component.name
        return name if self.subdomains == 1 else f"{name}, N = {self.subdomains}"

    @property
    def look(self) -> int | None:
        """Its place in the palette."""
        return cast("type[Method]", self.config.strategy.component).look

    @property
    def subdomains(self) -> int:
        """N; a process for each of them is what parallel evaluations stand for."""
        return cast("Method", self.config.strategy.build()).subdomains


@dataclass(frozen=True)
class Opponent:
    """A baseline, with the learning rate that it is run at, if it has one."""

    settings: Settings
    config: RunConfig
    rate: float | None = None

    @property
    def name(self) -> str:
        """The baseline's name."""
        return self.settings.component.name

    @property
    def look(self) -> int | None:
        """Its place in the palette."""
        return cast("type[Baseline]", self.settings.component).look

    @property
    def tuned(self) -> bool:
        """Whether it has a learning rate, which is chosen for it."""
        return cast("type[Baseline]", self.settings.component).tuned

    def at(self, rate: float) -> Opponent:
        """The same baseline at another learning rate."""
        settings = type(self.settings).model_validate({**self.settings.model_dump(), "rate": rate})
        return Opponent(settings, self.config, rate)


def slug(label: str) -> str:
    """A label as the name of a folder."""
    return re.sub(r"[^a-z0-9_.]+", "-", label.lower()).strip("-")


def strategies(
    config: Callable[[Iterable[str]], RunConfig], others: Sequence[str]
) -> list[Strategy]:
    """The configured strategy, then the ``others``: names, or ``name:N`` with N subdomains.

    ``config`` gives the run file with such ``KEY=VALUE`` changes.
    """
    found = [Strategy(config(()))]
    for other in others:
        name, colon, count = other.rpartition(":")
        if name in manager().registry.names("strategy") and not count.isdecimal():
            raise ValueError(
                f"a strategy is given by its name, or as NAME:N for N subdomains, not {other!r}"
            )
        if not count.isdecimal():  # a name, maybe with its source before a colon
            name, colon = other, ""
        change = f"strategy={{name='{name}'{f', subdomains={count}' if colon else ''}}}"
        found.append(Strategy(config((change,))))
    return list({one.label: one for one in found}.values())


def opponents(config: RunConfig, names: Sequence[str]) -> list[Opponent]:
    """The baselines of these names.

    Raises ``ValueError`` with the nearest one if there is none, and ``ModuleNotFoundError`` where a
    package is missing.
    """
    found = [Opponent(lookup("baseline", name).Config(), config) for name in dict.fromkeys(names)]
    for one in found:
        cast("Baseline", one.settings.build()).check()
    return found

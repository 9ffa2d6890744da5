"""Components: the exchangeable parts of a method, their options, and how a name finds its class.

A *seam* is an abstract class that says what one step of the outer iteration needs (a
decomposition, a local solver, a Hessian approximation, ...). A *component* is one way to do it. Its
options live in its nested ``Config``. This module is free of torch, so that listing components
costs nothing.
"""

from __future__ import annotations

import difflib
from abc import ABC
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel, ConfigDict
from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Settings(BaseModel):
    """Options of a component: frozen, and an unknown key is an error.

    The component that owns the options is reached by ``build``; the class is wired when the
    component is defined.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    component: ClassVar[type[Component]]

    def build(self) -> Component:
        """Return the component that these options describe."""
        return self.component(self)


class Component(ABC):
    """A named, exchangeable part with options.

    A subclass that sets ``seam`` opens a new kind of part; a concrete class sets ``name`` and, if
    it has options, a nested ``Config``. ``C(option=...)`` and ``C.Config(option=...).build()`` are
    the same.
    """

    seam: ClassVar[str]
    name: ClassVar[str]
    Config: ClassVar[type[Settings]] = Settings

    def __init__(self, config: Settings | None = None, **options: Any) -> None:
        self.config: Any = config if config is not None else self.Config(**options)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give every component a ``Config`` of its own that knows whom to build."""
        super().__init_subclass__(**kwargs)
        if "Config" not in cls.__dict__:
            inherited = cls.Config
            cls.Config = type("Config", (inherited,), {"__module__": cls.__module__})
        cls.Config.component = cls

    def __repr__(self) -> str:
        """Show the name and the options that differ from their defaults."""
        changed = self.config.model_dump(exclude_defaults=True)
        options = ", ".join(f"{key}={value!r}" for key, value in changed.items())
        return f"{type(self).__name__}({options})"


class Registry:
    """The names that plugins have claimed, by seam; classes are imported when first asked for."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], tuple[str, type[Component] | str]] = {}

    def add(
        self,
        component: type[Component] | str,
        *,
        seam: str | None = None,
        name: str | None = None,
        provider: str = "",
    ) -> None:
        """Claim a name for a component.

        ``component`` is a class, whose seam and name are read off it, or ``"module:Class"`` with
        ``seam`` and ``name`` given, which is imported only when it is used.

        Raises ``ValueError`` if another provider has claimed the name before.
        """
        if not isinstance(component, str):
            seam, name = component.seam, component.name
        if seam is None or name is None:
            raise ValueError(
                f"register({component!r}) names a class that is imported later, so it needs "
                "seam=... and name=... as well"
            )
        known = self._entries.get((seam, name))
        if known is not None and known[1] != component:
            raise ValueError(
                f"{seam} {name!r} is provided by both {known[0]} and {provider}; "
                "uninstall or disable one of them"
            )
        self._entries[seam, name] = (provider, component)

    def names(self, seam: str) -> list[str]:
        """The names registered for a seam, sorted."""
        return sorted(name for kind, name in self._entries if kind == seam)

    def find(self, seam: str, name: str) -> type[Component]:
        """The class registered under a name.

        Raises ``ValueError`` naming the nearest match and what is there, if nothing is.
        """
        try:
            _, found = self._entries[seam, name]
        except KeyError:
            raise ValueError(unknown(seam, name, self.names(seam))) from None
        if isinstance(found, str):
            module, _, attribute = found.partition(":")
            found = cast("type[Component]", getattr(import_module(module), attribute))
        return found

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Yield (seam, name, provider), sorted."""
        for (seam, name), (provider, _) in sorted(self._entries.items(), key=lambda e: e[0]):
            yield seam, name, provider


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of ``words``, or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: str, names: list[str]) -> str:
    """The message for a name that nothing answers to."""
    there = ", ".join(names) if names else "none"
    return f"no {kind} named {name!r}.{nearest(name, names)} Installed: {there}."


def lookup(seam: str, name: str) -> type[Component]:
    """The component class registered under ``name``; loads the plugins when first called."""
    from ddopt.plugins import manager

    return manager().registry.find(seam, name)


def _choose(seam: str, value: Any) -> Any:
    """Turn a name, a table with a name, or a component into its validated options."""
    if isinstance(value, Component):
        value = value.config
    if isinstance(value, Settings):
        found = value.component
        if found.seam != seam:
            raise ValueError(f"{found.__name__} is a {found.seam}, but a {seam} is expected here")
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(
            f"a {seam} is given by its name or by a table with a name, not by {value!r}"
        )
    options = {key: option for key, option in value.items() if key != "name"}
    return lookup(seam, value["name"]).Config.model_validate(options)


def _named(settings: Settings) -> dict[str, Any]:
    """Write options back as the table they can be read from."""
    return {"name": settings.component.name, **settings.model_dump()}


@dataclass(frozen=True)
class Chosen:
    """Marks a config field that holds one component of a seam, by name, table or object.

    Written ``Annotated[Settings, Chosen("hessian")]``. The name is looked up when the value is
    validated, after all plugins are loaded, so a component from a third party is as good as a
    built-in one.
    """

    seam: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        """Validate by lookup; serialise as the table that reads back to the same component."""
        return core_schema.no_info_plain_validator_function(
            lambda value: _choose(self.seam, value),
            serialization=core_schema.plain_serializer_function_ser_schema(_named),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Describe the field as a name or a table with a name."""
        named = {"type": "object", "properties": {"name": {"type": "string"}}}
        return {"description": f"a {self.seam}", "anyOf": [{"type": "string"}, named]}

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
        options = cls.Config
        if "Config" not in cls.__dict__ or "component" in options.__dict__:
            cls.Config = type("Config", (options,), {"__module__": cls.__module__})
        if "name" in cls.Config.model_fields:
            raise TypeError(
                f"{cls.__qualname__}.Config has an option called 'name'; that key chooses the "
                "component in a run file, so give the option another name"
            )
        cls.Config.component = cls

    def __repr__(self) -> str:
        """Show the name and the options that differ from their defaults."""
        changed = self.config.model_dump(exclude_defaults=True)
        options = ", ".join(f"{key}={value!r}" for key, value in changed.items())
        return f"{type(self).__name__}({options})"


class Registry:
    """The names that plugins have claimed, by seam; classes are imported when first asked for."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], list[Claim]] = {}

    def add(
        self,
        component: type[Component] | str,
        *,
        seam: str | None = None,
        name: str | None = None,
        provider: str = "",
    ) -> tuple[str, str]:
        """Claim a name for a component; returns the seam and the name.

        ``component`` is a class, whose seam and name are read off it, or ``"module:Class"`` with
        ``seam`` and ``name`` given, which is imported only when it is used.

        Raises ``ValueError`` if another provider has claimed the name before; neither has it then.
        """
        if not isinstance(component, str):
            seam, name = getattr(component, "seam", None), getattr(component, "name", None)
        if seam is None or name is None:
            raise ValueError(
                f"register({component!r}) needs a seam and a name: a class inherits the one and "
                "sets the other, and 'module:Class' comes with seam=... and name=..."
            )
        claims = self._claims.setdefault((seam, name), [])
        if all(claim.component != component for claim in claims):
            claims.append(Claim(provider, component))
        if len(claims) > 1:
            raise ValueError(_conflict(seam, name, claims))
        return seam, name

    def names(self, seam: str) -> list[str]:
        """The names registered for a seam, sorted."""
        return sorted(name for kind, name in self._claims if kind == seam)

    def find(self, seam: str, name: str) -> type[Component]:
        """The class registered under a name.

        Raises ``ValueError`` that says what to do: no such name (with the nearest one), a name that
        two plugins claim, or a class that cannot be imported.
        """
        claims = self._claims.get((seam, name))
        if not claims:
            raise UnknownNameError(unknown(seam, name, self.names(seam)))
        if len(claims) > 1:
            raise ValueError(_conflict(seam, name, claims))
        (claim,) = claims
        try:
            return claim.load()
        except (ImportError, AttributeError) as error:
            from ddopt.extras import remedy

            raise ValueError(
                f"{seam} {name!r} from {claim.provider} cannot be loaded: {error}.{remedy(error)}"
            ) from error

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Yield (seam, name, provider), sorted; a name that two claim comes twice."""
        for (seam, name), claims in sorted(self._claims.items(), key=lambda e: e[0]):
            for claim in claims:
                yield seam, name, claim.provider


@dataclass(frozen=True)
class Claim:
    """Who claims a name, and for which class."""

    provider: str
    component: type[Component] | str

    def load(self) -> type[Component]:
        """The class, imported if it has not been."""
        if not isinstance(self.component, str):
            return self.component
        module, _, attribute = self.component.partition(":")
        return cast("type[Component]", getattr(import_module(module), attribute))


class UnknownNameError(ValueError):
    """Nothing answers to a name."""


def _conflict(seam: str, name: str, claims: list[Claim]) -> str:
    providers = " and ".join(claim.provider for claim in claims)
    return f"{seam} {name!r} is provided by both {providers}; uninstall or disable one of them"


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

    return manager().find(seam, name)


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

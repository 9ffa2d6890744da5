"""Components: the exchangeable parts of a method, their options, and how a name finds its class.

A *seam* is an abstract class that says what one step of the outer iteration needs (a
decomposition, a local solver, a Hessian approximation, ...). A *component* is one way to do it. Its
options live in its nested ``Config``. This module is free of torch, so that listing components
costs nothing.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from inspect import isfunction, signature
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import core_schema

from ddopt.setup.limits import brief
from ddopt.setup.registry import Registry as Registry

SEAM = "x-seam"  # where a JSON schema says which kind of component a field holds


def one(seam: str) -> str:
    """A component of a seam, in words: "a solver", "an executor"."""
    return f"{'an' if seam[0] in 'aeiou' else 'a'} {seam}"


class Settings(BaseModel):
    """Options of a component: frozen, and an unknown key is an error.

    The component that owns the options is reached by ``build``; the class is wired when the
    component is defined.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        validate_default=True,
        allow_inf_nan=False,
    )

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
        """Give every component a ``Config`` of its own that knows whom to build.

        Raises ``TypeError`` for options that the seam could not use, and for methods that cannot be
        called as the seam's are.
        """
        super().__init_subclass__(**kwargs)
        _refuse_other_signatures(cls)
        options = cls.Config
        above = next(k.Config for k in cls.__mro__[1:] if issubclass(k, Component))
        if not (isinstance(options, type) and issubclass(options, Settings)):
            raise TypeError(f"{cls.__qualname__}.Config must derive from ddopt.Settings")
        lost = above.model_fields.keys() - options.model_fields.keys()
        if lost and options.model_fields:  # an empty Config says that none is used
            raise TypeError(
                f"{cls.__qualname__}.Config lacks {', '.join(sorted(lost))}; derive it from "
                f"{above.__qualname__}, which has the options of every {cls.seam}"
            )
        if "Config" not in cls.__dict__ or "component" in options.__dict__:
            place = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}.Config"}
            cls.Config = type("Config", (options,), place)  # where pickle looks for it
        if "name" in cls.Config.model_fields:
            raise TypeError(
                f"{cls.__qualname__}.Config has an option called 'name'; that key chooses the "
                "component in a run file, so give the option another name"
            )
        cls.Config.component = cls

    def state_dict(self) -> dict[str, Any]:
        """What the next iteration depends on beside the options: for checkpoints.

        Tensors, numbers, strings, lists and dicts; the same on every process, but for a solver,
        which belongs to one subdomain. By default the states of the components that are its
        attributes, so nothing for most; whoever overrides it adds those by ``super()``.
        """
        return states(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave, bit for bit; called once, on a new component."""
        restore(self, state)

    def __repr__(self) -> str:
        """Show the name and the options that differ from their defaults."""
        changed = self.config.model_dump(exclude_defaults=True)
        options = ", ".join(f"{key}={value!r}" for key, value in changed.items())
        return f"{type(self).__name__}({options})"


def held(owner: Any) -> dict[str, Component]:
    """The components among the attributes of an object, by the attributes' names."""
    return {name: part for name, part in vars(owner).items() if isinstance(part, Component)}


def states(owner: Any) -> dict[str, Any]:
    """The states of all components that an object holds, whatever their seams."""
    return {name: part.state_dict() for name, part in held(owner).items()}


def restore(owner: Any, saved: dict[str, Any]) -> None:
    """Give every component that an object holds the state that ``states`` took from it."""
    for name, part in held(owner).items():
        part.load_state_dict(saved[name])


def _refuse_other_signatures(cls: type[Component]) -> None:
    """Raise ``TypeError`` for a method that does not take the arguments that it will be given."""
    for name, own in vars(cls).items():
        above = next((vars(k)[name] for k in cls.__mro__[1:] if name in vars(k)), None)
        if name.startswith("__") or not (isfunction(own) and isfunction(above)):
            continue
        wanted = signature(above).parameters.values()
        given = [one.name for one in wanted if one.kind is one.POSITIONAL_OR_KEYWORD]
        if len(given) < len(wanted):
            continue  # it leaves arguments open
        try:
            signature(own).bind(*given)
        except TypeError as error:
            raise TypeError(
                f"{cls.__qualname__}.{name} must take ({', '.join(given)}): {error}"
            ) from None


def lookup(seam: str, name: str) -> type[Component]:
    """The component class registered under ``name``; loads the plugins when first called."""
    from ddopt.setup.plugins import manager

    return manager().find(seam, name)


def chosen(seam: str, value: Any) -> Any:
    """The validated options that a name, a table with a name, or a component stands for."""
    if isinstance(value, Component):
        value = value.config
    if isinstance(value, Settings):
        found = value.component
        if found.seam != seam:
            raise ValueError(
                f"{found.__name__} is {one(found.seam)}, but {one(seam)} is expected here"
            )
        return value
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(
            f"{one(seam)} is given by its name or by a table with a name, not by {brief(value)}"
        )
    options = {key: option for key, option in value.items() if key != "name"}
    return lookup(seam, value["name"]).Config.model_validate(options)


def _named(settings: Settings) -> dict[str, Any]:
    """Write options back as the table they can be read from."""
    from ddopt.setup.plugins import spelled

    return {"name": spelled(settings.component), **settings.model_dump()}


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
            lambda value: chosen(self.seam, value),
            serialization=core_schema.plain_serializer_function_ser_schema(_named),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        """Describe the field as a name or a table with a name."""
        named = {"type": "object", "properties": {"name": {"type": "string"}}}
        kinds = [{"type": "string"}, named]
        return {"description": one(self.seam), "anyOf": kinds, SEAM: self.seam}


def _as_text(value: Any) -> Any:
    """TOML reads 2 and inf as numbers."""
    return f"{value:g}" if isinstance(value, (int, float)) else value


Norm = Annotated[Literal["2", "inf"], BeforeValidator(_as_text)]  # of vectors, in options

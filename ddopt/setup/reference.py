"""Options as a person reads them: the key, the default, what is allowed, and what it means.

Everything is read off the ``Config`` of each component, so that the command line and the
documentation cannot say anything else.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ddopt.setup.component import Chosen, Settings, one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic.fields import FieldInfo

WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "file"}
SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


@dataclass(frozen=True)
class Option:
    """One option of a component, or one key of a run file, in words."""

    key: str
    default: str  # as TOML; empty where it must be given, or where there is none
    required: bool
    allowed: str
    meaning: str


def options_of(config: type[BaseModel]) -> list[Option]:
    """The options of a ``Config``, in the order in which they are written there."""
    return list(_options(config, ""))


def _options(config: type[BaseModel], prefix: str) -> Iterator[Option]:
    for key, field in config.model_fields.items():
        kind = field.annotation
        nested = isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Settings
        if nested and isinstance(kind, type):
            yield from _options(kind, f"{prefix}{key}.")
            continue
        default = "" if field.default is PydanticUndefined else toml(field.default)
        yield Option(
            prefix + key, default, field.is_required(), allowed(field), field.description or ""
        )


def allowed(field: FieldInfo) -> str:
    """The values that a field takes, in words: ``whole number >= 1, <= 100000``."""
    words = _kind(field.annotation, field.metadata)
    bounds = ", ".join(_bounds(field.metadata))
    return f"{words} {bounds}".strip()


def _bounds(metadata: Iterable[Any]) -> Iterator[str]:
    for mark in metadata:
        for name, sign in SIGNS.items():
            bound = getattr(mark, name, None)
            if bound is not None:
                yield f"{sign} {bound:g}" if isinstance(bound, float) else f"{sign} {bound}"


def _kind(kind: Any, metadata: Sequence[Any] = ()) -> str:
    """A type in words."""
    seam = next((mark.seam for mark in metadata if isinstance(mark, Chosen)), None)
    if seam is not None:
        return one(seam)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds = ", ".join(_bounds(inner[1:]))
        return f"{_kind(inner[0], inner[1:])} {bounds}".strip()
    if origin is Literal:
        return ", ".join(toml(value) for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(one) for one in inner if one is not type(None))
    if origin in (list, tuple):
        return f"list ({_kind(inner[0])})" if inner else "list"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    return WORDS.get(kind, "table" if origin is dict else str(getattr(kind, "__name__", kind)))


def toml(value: Any) -> str:
    """A value as a run file writes it; empty for None."""
    if value is None:
        return ""
    if isinstance(value, Settings):
        options = {key: one for key, one in value.model_dump(exclude_defaults=True).items()}
        value = {"name": value.component.name, **options} if options else value.component.name
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, Enum):
        return toml(value.value)
    return f'"{value}"' if isinstance(value, (str, Path)) else str(value)


@dataclass(frozen=True)
class Entry:
    """A component with its options; ``trouble`` says why it cannot be used, if it cannot."""

    seam: str
    name: str
    provider: str
    sentence: str
    options: list[Option]
    trouble: str = ""


def entry(seam: str, name: str, provider: str = "") -> Entry:
    """What there is to say of a component; one that cannot be imported says so."""
    from ddopt.setup.component import lookup

    try:
        found = lookup(seam, name)
    except ValueError as error:
        return Entry(seam, name, provider, "", [], str(error))
    sentence = " ".join((found.__doc__ or "").strip().partition("\n\n")[0].split())
    return Entry(seam, name, provider, sentence, options_of(found.Config))


def entries(which: str = "") -> list[Entry]:
    """The components of a seam, or of a name, or all of them, in order of seam and name.

    Raises ``ValueError``, with the nearest word, for one that is neither.
    """
    from ddopt.setup.plugins import manager
    from ddopt.setup.registry import nearest

    known = list(manager().registry)
    chosen = [one for one in known if not which or which in one[:2]]
    if not chosen:
        words = sorted({word for one in known for word in one[:2]})
        seams = ", ".join(sorted({seam for seam, _, _ in known}))
        raise ValueError(
            f"there is no seam and no component {which!r}.{nearest(which, words)} Seams: {seams}"
        )
    return [entry(*one) for one in chosen]

"""Options as a tree: which keys a table may have, given the components that it names.

Used to fill in names that defaults imply, and to say what somebody meant by a wrong key.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from ddopt.setup.component import Chosen, Settings, lookup
from ddopt.setup.limits import brief

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

DEPTH = 6  # components inside components; guards against one whose default contains itself
SHOWN = 5  # errors in one message
ALIKE = 0.6  # score above which a key is offered as what was meant
LIKE = 0.5  # difflib ratio that the word itself must exceed, wherever the key is
EXPECTED = {  # what pydantic calls it, and what a person does
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number is expected"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number is expected"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false is expected"),
    **dict.fromkeys(("model_type", "dict_type", "model_attributes_type"), "a table is expected"),
}
BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("greater than or equal to", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("less than or equal to", "le"),
}


def seam_of(field: FieldInfo) -> str | None:
    """The seam of a field that holds a component; None for an ordinary field."""
    marks = [*field.metadata]
    for part in get_args(field.annotation):  # Annotated[...] | None
        marks += getattr(part, "__metadata__", ())
    return next((mark.seam for mark in marks if isinstance(mark, Chosen)), None)


def default_table(field: FieldInfo) -> dict[str, Any]:
    """The default of a component field as a table; empty if it has none."""
    default = field.default
    if isinstance(default, str):
        return {"name": default}
    if isinstance(default, Settings):
        return {"name": default.component.name, **default.model_dump()}
    return dict(default) if isinstance(default, dict) else {}


def behind(field: FieldInfo, value: Any) -> type[BaseModel] | None:
    """The options class of a field, as its value or else its default chooses it."""
    seam = seam_of(field)
    if seam is None:
        kinds = (field.annotation, *get_args(field.annotation))  # Model | None, list[Model]
        return next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    if isinstance(value, dict):
        value = value.get("name")
    name = value if isinstance(value, str) else default_table(field).get("name")
    try:
        return lookup(seam, name).Config if isinstance(name, str) else None
    except ValueError:
        return None


def complete(options: type[BaseModel], table: dict[str, Any]) -> dict[str, Any]:
    """``table`` where a component's table without a name changes options of the default."""
    done = dict(table)
    for key, field in options.model_fields.items():
        value = table.get(key)
        if not isinstance(value, dict):
            continue
        if seam_of(field) is not None and "name" not in value:
            value = {**default_table(field), **value}
        inner = behind(field, value)
        done[key] = complete(inner, value) if inner is not None else value
    return done


def keys(
    options: type[BaseModel], table: Any, prefix: str = "", depth: int = DEPTH
) -> Iterator[str]:
    """Every dotted key that could be set, given the names in ``table``."""
    table = table if isinstance(table, dict) else {}
    for key, field in options.model_fields.items():
        yield prefix + key
        inner = behind(field, table.get(key)) if depth else None
        if inner is not None:
            yield from keys(inner, table.get(key), f"{prefix}{key}.", depth - 1)


def at(options: type[BaseModel], table: Any, path: list[str]) -> type[BaseModel] | None:
    """The options class of the table at ``path``."""
    for step in path:
        if isinstance(table, list) and step.isdigit():  # a table of a list: the same options
            table = table[int(step)] if int(step) < len(table) else {}
            continue
        table = table if isinstance(table, dict) else {}
        field = options.model_fields.get(step)
        inner = behind(field, table.get(step)) if field is not None else None
        if inner is None:
            return None
        options, table = inner, table.get(step)
    return options


def meant(path: list[str], options: type[BaseModel], table: Any) -> str:
    """``" Did you mean 'x.y'?"`` for an unknown key: one like it here, or deeper, or elsewhere."""
    word, here = path[-1], ".".join(path[:-1])
    best, found = ALIKE, ""
    for candidate in keys(options, table):
        parent, _, last = candidate.rpartition(".")
        score = difflib.SequenceMatcher(None, word, last).ratio()
        if score <= LIKE:
            continue
        inside = not here or candidate.startswith(f"{here}.")
        score += 0.2 * (parent == here) + 0.1 * inside
        if score > best:
            best, found = score, candidate
    return f" Did you mean {found!r}?" if found else ""


def explain(error: ValidationError, options: type[BaseModel], table: Any) -> list[tuple[str, str]]:
    """(dotted key, what is wrong with it), for the first errors."""
    found = []
    for problem in error.errors(include_url=False)[:SHOWN]:
        path = [str(step) for step in problem["loc"]]
        found.append((".".join(path), _describe(problem, path, options, table)))
    missing = error.error_count() - len(found)
    return [*found, ("", f"and {missing} more")] if missing > 0 else found


def _describe(problem: Any, path: list[str], options: type[BaseModel], table: Any) -> str:
    kind = problem["type"]
    owner = at(options, table, path[:-1]) or options
    if kind == "extra_forbidden":
        allowed = ", ".join(owner.model_fields) or "nothing"
        return f"there is no such key.{meant(path, options, table)} Allowed here: {allowed}."
    if kind == "missing":
        field = owner.model_fields.get(path[-1])
        return f"must be given: {(field and field.description) or 'it has no default'}."
    if kind in BOUNDS:  # pydantic writes every zero of 1e-100
        bound = problem["ctx"][BOUNDS[kind][1]]
        text = f"Input should be {BOUNDS[kind][0]} {bound:.12g}"
        return f"{text}, but it is {brief(problem['input'])}."
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    return f"{EXPECTED.get(kind, problem['msg'])}, but it is {brief(problem['input'])}."

"""The JSON schema of run files, for editors: every key, every component that is installed.

Draft 7, which TOML editors read (taplo, Even Better TOML). ``ddopt schema`` prints it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddopt.setup.component import SEAM, lookup, one
from ddopt.setup.config import RunConfig
from ddopt.setup.plugins import manager

if TYPE_CHECKING:
    from pydantic import BaseModel

DRAFT = "http://json-schema.org/draft-07/schema#"


def schema() -> dict[str, Any]:
    """What a run file may hold, with the options of every component that can be imported."""
    by_seam: dict[str, list[str]] = {}
    for seam, name, _ in manager().registry:
        by_seam.setdefault(seam, []).append(name)
    places: dict[str, Any] = {}
    head = {"$schema": DRAFT, "title": "ddopt run file"}
    found = {**_described(RunConfig, places), **head}
    for seam, names in by_seam.items():
        there = [name for name in names if _place(seam, name, places)]
        named = [{**_at(f"{seam}.{name}"), "required": ["name"]} for name in there]
        places[seam] = {"anyOf": [{"enum": names, "description": one(seam)}, *named]}
    return {**found, "definitions": places}


def _place(seam: str, name: str, places: dict[str, Any]) -> bool:
    """Put the table of a component's options there; False if it cannot be imported."""
    try:
        component = lookup(seam, name)
    except ValueError:
        return False
    found = _described(component.Config, places)
    found["description"] = (component.__doc__ or "").strip().partition("\n")[0]
    found["properties"] = {"name": {"const": name}, **found.get("properties", {})}
    places[f"{seam}.{name}"] = found
    return True


def _at(place: str) -> dict[str, Any]:
    """A reference, beside which other keywords count too (in draft 7 only inside allOf)."""
    return {"allOf": [{"$ref": f"#/definitions/{place}"}]}


def _described(options: type[BaseModel], places: dict[str, Any]) -> dict[str, Any]:
    """The schema of options; tables inside go to ``places``, components refer to their seams."""
    found = options.model_json_schema(ref_template="#/definitions/{model}")
    for model, inner in found.pop("$defs", {}).items():
        places[model] = _linked(inner)
    linked: dict[str, Any] = _linked(found)
    return linked


def _linked(node: Any) -> Any:
    """``node`` with a reference to its seam wherever a component is chosen."""
    if isinstance(node, list):
        return [_linked(one) for one in node]
    if not isinstance(node, dict):
        return node
    if SEAM in node:
        kept = {key: one for key, one in node.items() if key in ("default", "description")}
        kinds = [_at(node[SEAM])]
        if isinstance(node.get("default"), str):  # a table without a name changes the default
            kinds.append(_at(f"{node[SEAM]}.{node['default']}"))
        return {"anyOf": kinds, **kept}
    return {key: _linked(one) for key, one in node.items()}

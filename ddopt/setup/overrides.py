"""Dotted overrides: ``strategy.subdomains=4`` on the command line."""

from __future__ import annotations

import copy
import re
import tomllib
from typing import Any

from ddopt.setup.limits import DEPTH, NESTED, brief, refuse_extremes

KEY = re.compile(r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")


def parse(text: str) -> tuple[list[str], Any]:
    """The path and the value of one override; the value is TOML, a bare word is a string."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not KEY.match(key):
        raise ValueError(
            f"an override is KEY=VALUE, for example strategy.subdomains=4, not {brief(text)}"
        )
    steps = key.split(".")
    if len(steps) > DEPTH:
        raise ValueError(f"{brief(key)}: {NESTED}")
    try:
        found = _value(value)
    except ValueError as error:
        raise ValueError(f"{key[:60]}: {error}") from None
    refuse_extremes({steps[-1]: found}, ".".join(steps[:-1]))
    return steps, found


def _value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if not text:
            raise ValueError("there is no value behind the =") from None
        if text[:1] in "[{\"'":
            raise ValueError(f"{brief(text)} is no TOML value: {error}") from None
        return text
    except RecursionError:
        raise ValueError(NESTED) from None
    return parsed["value"] if list(parsed) == ["value"] else text


def apply(table: dict[str, Any], overrides: list[tuple[list[str], Any]]) -> dict[str, Any]:
    """``table`` with the overrides set, from left to right.

    A table on the way that is a bare name becomes a table with that name, so that
    ``strategy.subdomains=4`` changes an option of whatever strategy has been chosen.
    """
    result = copy.deepcopy(table)
    for path, value in overrides:
        inner = result
        for step in path[:-1]:
            below = inner.get(step, {})
            inner[step] = inner = below if isinstance(below, dict) else {"name": below}
        inner[path[-1]] = value
    return result

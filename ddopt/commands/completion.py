"""Completion of ``KEY=VALUE`` in a shell: keys of a run file, and values that have names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """What ``incomplete`` can become, given the run file that the command names."""
    file = ctx.params.get("config") or ctx.params.get("folder")
    before = list(ctx.params.get("changes") or ())
    try:
        key, cut = _joined(before, incomplete)
        return [word[cut:] for word in candidates(Path(file) if file else None, key)]
    except Exception:  # a shell shows nothing rather than a traceback
        return []


def _joined(before: list[str], incomplete: str) -> tuple[str, int]:
    """The setting that is being written, and how much of it the shell does not replace.

    bash takes ``key=va`` for three words, ``key``, ``=`` and ``va``.
    """
    *_, second, first = ["", "", *before]
    if first == "=":
        key = f"{second}="
    elif first and "=" not in first and second != "=":
        key = f"{first}="  # click hides a last word that is "="
    else:
        return incomplete, 0
    return key + incomplete, len(key)


def candidates(file: Path | None, incomplete: str) -> list[str]:
    """``KEY=`` for the keys that begin so; ``KEY=VALUE`` behind an equals sign.

    The options of a component are looked up only behind its key and a dot: that imports it.
    """
    from ddopt.setup.config import RunConfig, read
    from ddopt.setup.options import at

    if file is not None and file.is_dir():
        file /= "config.toml"
    table = read(file) if file is not None and file.is_file() else {}
    key, equals, value = incomplete.partition("=")
    *path, last = key.split(".")
    owner = at(RunConfig, table, path)
    if owner is None:
        return []
    if equals:
        field = owner.model_fields.get(last)
        return [f"{key}={word}" for word in values(field) if word.startswith(value)]
    before = "".join(f"{step}." for step in path)
    return [f"{before}{name}=" for name in owner.model_fields if name.startswith(last)]


def values(field: Any) -> list[str]:
    """The words that a field takes; none where it takes numbers or text."""
    from typing import Literal, get_args, get_origin

    from ddopt.setup.options import seam_of
    from ddopt.setup.plugins import manager

    if field is None:
        return []
    seam = seam_of(field)
    if seam is not None:
        return manager().registry.names(seam)
    if get_origin(field.annotation) is Literal:
        return [str(word) for word in get_args(field.annotation)]
    return ["true", "false"] if field.annotation is bool else []

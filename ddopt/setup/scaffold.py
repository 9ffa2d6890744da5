"""A new plugin from the templates: a small distribution that passes its own tests."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

from ddopt.setup.limits import brief

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

NAME = re.compile(r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$")
RUN = "ddopt run run.toml --plugin {module}.py"
COMMANDS = {  # what uses a plugin of a kind, where it is not a run
    "baseline": "ddopt compare run.toml --against {name} --evaluations 100 --plugin {module}.py",
}
INSTALLED = {"command": "pip install . && ddopt {command_name} --help"}


def kinds() -> list[str]:
    """The kinds of plugin that there are templates for."""
    return sorted(entry.name for entry in _templates().iterdir() if entry.is_dir())


def write(name: str, kind: str, parent: Path) -> tuple[Path, str]:
    """Write a plugin of a kind into ``parent``; returns its folder, and what tries it out there.

    Raises ``ValueError`` for a name that is no name, or that is taken, and a folder that is there.
    """
    words = _words(name, kind)
    folder = parent / words["distribution"]
    if folder.exists():
        raise ValueError(f"{folder} is there already; choose another name, or --out FOLDER")
    own, shared = _templates() / kind, _templates()
    contents = {
        "pyproject.toml": shared / "pyproject.toml.txt",
        "README.md": shared / "README.md.txt",
        "run.toml": own / "run.toml.txt",
        f"{words['module']}.py": own / "plugin.py.txt",
        f"test_{words['module']}.py": own / "test.py.txt",
    }
    folder.mkdir(parents=True)
    for target, template in contents.items():
        text = Template(template.read_text(encoding="utf-8")).substitute(words)
        (folder / target).write_text(text, encoding="utf-8")
    return folder, words["command"]


def _words(name: str, kind: str) -> dict[str, str]:
    """What stands in the templates in the place of $name, $Class, ..."""
    if kind not in kinds():
        raise ValueError(
            f"there is no kind {brief(kind)} of plugin; there are {', '.join(kinds())}"
        )
    name = name.removeprefix("ddopt-").removeprefix("ddopt_")
    if not NAME.match(name):
        raise ValueError(
            f"a plugin's name has small letters, digits, and single - or _ between them, not "
            f"{brief(name)}"
        )
    _refuse_taken(name.replace("-", "_"), kind)
    words: dict[str, Any] = {
        "name": name.replace("-", "_"),
        "kind": kind,
        "Class": "".join(part.capitalize() for part in re.split("[-_]", name)),
        "module": f"ddopt_{name.replace('-', '_')}",
        "distribution": f"ddopt-{name.replace('_', '-')}",
        "command_name": name.replace("_", "-"),
        "requirement": _requirement(),
    }
    words["command"] = (INSTALLED.get(kind) or COMMANDS.get(kind, RUN)).format(**words)
    return words


def _refuse_taken(name: str, kind: str) -> None:
    """A name of ddopt's own would stay ddopt's."""
    from ddopt.setup.plugins import manager

    if name in manager().registry.names(kind):
        raise ValueError(f"there is a {kind} called {name!r} already; choose another name")


def _requirement() -> str:
    """This version of ddopt, and those that keep what is public."""
    import ddopt

    found = re.match(r"(\d+)\.(\d+)", ddopt.__version__)
    if found is None:
        return "ddopt"
    major, minor = int(found[1]), int(found[2])
    return f"ddopt>={major}.{minor},<{major}.{minor + 2}"


def _templates() -> Traversable:
    return files("ddopt") / "templates"

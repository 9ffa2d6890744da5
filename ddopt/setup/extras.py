"""Extras: the optional packages that a distribution can use, and the command that installs them.

Everything is read from installed metadata: the core knows no plugin's dependencies by name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?([^;]*)(?:;(.*))?$")
EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


@dataclass(frozen=True)
class Extra:
    """A package that an extra of a distribution asks for."""

    distribution: str
    extra: str
    package: str

    @property
    def command(self) -> str:
        """What installs the whole extra."""
        return installing(self.extra, self.distribution)

    @property
    def version(self) -> str | None:
        """The installed version; None if it is missing."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


def installing(extra: str, distribution: str = "ddopt") -> str:
    """The command that installs an extra, as it works here.

    A distribution that came from a folder, a file or a repository is installed from there again: no
    registry may have it. Its origin is recorded in direct_url.json (PEP 610).
    """
    try:
        told = metadata.distribution(distribution).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        told = None
    origin = json.loads(told) if told else {}
    place = urlsplit(origin.get("url", ""))
    wanted = f"{distribution}[{extra}]"
    if place.scheme == "file" and "vcs_info" not in origin:
        wanted = f"{unquote(place.path)}[{extra}]"
    elif "vcs_info" in origin:
        source = origin["vcs_info"]
        wanted += f" @ {source['vcs']}+{origin['url']}@{source['commit_id']}"
    elif origin:
        wanted += f" @ {origin['url']}"
    editable = "--editable " if origin.get("dir_info", {}).get("editable") else ""
    return f"pip install {editable}'{wanted}'"


def canonical(name: str) -> str:
    """The form in which two spellings of a package name are equal."""
    return re.sub(r"[-_.]+", "-", name).lower()


def extras(distribution: str = "ddopt") -> list[Extra]:
    """What the extras of an installed distribution ask for, in the order of its metadata."""
    try:
        requirements = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for text in requirements:
        match = REQUIREMENT.match(text)
        extra = EXTRA.search(match[3] or "") if match else None
        if match and extra and canonical(match[1]) != canonical(distribution):
            found.append(Extra(distribution, extra[1], match[1]))
    return found


def providers() -> list[str]:
    """The distributions that bring plugins, ddopt first."""
    names = {
        entry.dist.name: None
        for entry in metadata.entry_points(group="ddopt")
        if entry.dist is not None
    }
    return list({"ddopt": None, **names})


def remedy(error: BaseException) -> str:
    """``" Install it with ..."`` for a package that an extra asks for, otherwise nothing."""
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    module = error.name.partition(".")[0]
    if find_spec(module) is not None:
        return ""  # the package is there; a part of it is not
    for distribution in providers():
        for wanted in extras(distribution):
            if canonical(wanted.package) == canonical(module):
                return f" Install it with: {wanted.command}"
    return ""  # nobody vouches for a package of that name

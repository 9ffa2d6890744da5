"""Which versions of ddopt a plugin works with, as it says itself.

An installed plugin says so in the requirements of its distribution, ``ddopt>=0.1,<0.3``; a single
file in a variable of its module, ``ddopt_api = ">=0.1,<0.3"``. pip looks at requirements when it
installs, and no later: ddopt may have been changed since.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

API = "ddopt_api"  # the variable of a module


def unmet(requirements: Iterable[str]) -> str:
    """The sentence about a requirement of a distribution that this ddopt does not meet, or ""."""
    from packaging.requirements import InvalidRequirement, Requirement

    for text in requirements:
        if not text.lower().startswith("ddopt"):
            continue  # parsing takes longer than the question
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue  # pip's business
        applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if wanted.name == "ddopt" and applies and (reason := _outside(str(wanted.specifier))):
            return reason
    return ""


def asked_by(module: Any) -> str:
    """The sentence about the ``ddopt_api`` of a module, where it is not met or no range, or ""."""
    wanted = getattr(module, API, None)
    if wanted is None:
        return ""
    if not isinstance(wanted, str):
        return f'{API} is a range of versions, like ">=0.1,<0.3", and not {wanted!r}'
    return _outside(wanted)


def _outside(versions: str) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        accepted = SpecifierSet(versions)
    except InvalidSpecifier:
        return f'{API} is a range of versions, like ">=0.1,<0.3", and not {versions!r}'
    try:
        here = metadata.version("ddopt")
    except metadata.PackageNotFoundError:
        return ""  # a checkout that was never installed has no version
    if accepted.contains(here, prereleases=True):
        return ""
    return (
        f"it works with ddopt{versions}, and this is ddopt {here}; install a version of the plugin "
        f"for this ddopt, or pip install 'ddopt{versions}'"
    )

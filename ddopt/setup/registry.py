"""The registry: which names plugins have claimed, by seam.

Free of pydantic and torch, so that listing what is there costs nothing; a class is imported when it
is first asked for.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from ddopt.setup.limits import brief

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Registry:
    """The names that plugins have claimed, by seam; classes are imported when first asked for."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], list[Claim]] = {}

    def add(
        self,
        component: type[Any] | str,
        *,
        seam: str | None = None,
        name: str | None = None,
        provider: str = "",
    ) -> tuple[str, str]:
        """Claim a name for a component; returns the seam and the name.

        ``component`` is a class, whose seam and name are read off it, or ``"module:Class"`` with
        ``seam`` and ``name`` given, which is imported only when it is used.

        Raises ``ValueError`` for what is no class, or an abstract one, and if another provider has
        claimed the name before; neither has it then.
        """
        if not isinstance(component, str):
            if not isinstance(component, type):
                raise ValueError(f"register takes a class or 'module:Class', not {component!r}")
            seam, name = getattr(component, "seam", None), getattr(component, "name", None)
        if seam is None or name is None:
            raise ValueError(
                f"register({component!r}) needs a seam and a name: a class inherits the one and "
                "sets the other, and 'module:Class' comes with seam=... and name=..."
            )
        if not (isinstance(seam, str) and isinstance(name, str) and seam and name):
            raise ValueError(f"a seam and a name are words, and not {seam!r} and {name!r}")
        missing = sorted(getattr(component, "__abstractmethods__", ()))
        if missing:
            raise ValueError(f"{component!r} does not define {', '.join(missing)}")
        claims = self._claims.setdefault((seam, name), [])
        if all(claim.component != component for claim in claims):
            claims.append(Claim(provider, component))
        if len(claims) > 1:
            raise ValueError(_conflict(seam, name, claims))
        return seam, name

    def names(self, seam: str) -> list[str]:
        """The names registered for a seam, sorted."""
        return sorted(name for kind, name in self._claims if kind == seam)

    def find(self, seam: str, name: str) -> type[Any]:
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
            found = claim.load()
        except (ImportError, AttributeError) as error:
            from ddopt.setup.extras import remedy

            raise ValueError(
                f"{seam} {name!r} from {claim.provider} cannot be loaded: {error}.{remedy(error)}"
            ) from error
        described = getattr(found, "seam", None), getattr(found, "name", None)
        if not isinstance(found, type) or described != (seam, name):
            raise ValueError(
                f"{seam} {name!r} from {claim.provider} is registered as {claim.component!r}, "
                f"which is no {seam} of that name; a class has the seam and the name that it is "
                "registered with"
            )
        return found

    def __iter__(self) -> Iterator[tuple[str, str, str]]:
        """Yield (seam, name, provider), sorted; a name that two claim comes twice."""
        for (seam, name), claims in sorted(self._claims.items(), key=lambda e: e[0]):
            for claim in claims:
                yield seam, name, claim.provider


@dataclass(frozen=True)
class Claim:
    """Who claims a name, and for which class."""

    provider: str
    component: type[Any] | str

    def load(self) -> type[Any]:
        """The class, imported if it has not been."""
        if not isinstance(self.component, str):
            return self.component
        module, _, attribute = self.component.partition(":")
        return cast("type[Any]", getattr(import_module(module), attribute))


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
    limit = os.environ.get("DDOPT_PLUGINS")
    loaded = f" Loaded are the plugins of DDOPT_PLUGINS={limit} only." if limit is not None else ""
    return f"no {kind} named {brief(name)}.{nearest(name, names)} Installed: {there}.{loaded}"

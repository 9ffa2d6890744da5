"""The registry: which names plugins have claimed, by seam.

Free of pydantic and torch, so that listing what is there costs nothing; a class is imported when it
is first asked for.
"""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from ddopt.setup.limits import brief
from ddopt.setup.loading import guarded
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CORE = "ddopt"  # the source of ddopt's own components
SEAMS = (  # of ddopt's own; plugins may open more
    "acceptance",
    "baseline",
    "decomposition",
    "executor",
    "hessian",
    "problem",
    "radius",
    "recombination",
    "sampling",
    "solver",
    "strategy",
    "subproblem",
)


class Registry:
    """The names that plugins have claimed, by seam; classes are imported when first asked for.

    A name of ddopt's own stays ddopt's, whoever else claims it. A name that two others claim is
    neither's. ``source:name`` chooses one claim: the source is a distribution, or the name of a
    file without its suffix.
    """

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], list[Claim]] = {}

    def add(
        self,
        component: type[Any] | str,
        *,
        seam: str | None = None,
        name: str | None = None,
        provider: str = "",
        source: str = "",
    ) -> tuple[str, str]:
        """Claim a name for a component; returns the seam and the name.

        ``component`` is a class, whose seam and name are read off it, or ``"module:Class"`` with
        ``seam`` and ``name`` given, which is imported only when it is used. ``provider`` is how
        messages call the plugin, ``source`` the distribution or the file that it comes in.

        Raises ``ValueError`` for what is no class, or an abstract one, for a seam that looks like a
        misspelt one, and for a second component of that name in one source.
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
        if ":" in name:
            raise ValueError(f"a name has no colon, which stands behind a source: {name!r}")
        missing = sorted(getattr(component, "__abstractmethods__", ()))
        if missing:
            raise ValueError(f"{component!r} does not define {', '.join(missing)}")
        self._refuse_misspelt(seam)
        claims = self._claims.setdefault((seam, name), [])
        own = [claim for claim in claims if claim.source == source]
        if own and own[0].component != component:
            raise ValueError(
                f"it registers two components as {seam} {name!r}: {own[0].component!r} and "
                f"{component!r}; give one of them another name"
            )
        if not own:
            claims.append(Claim(provider, component, source))
        return seam, name

    def _refuse_misspelt(self, seam: str) -> None:
        """A plugin may open a seam of its own, but hardly one letter beside another."""
        known = sorted({*SEAMS, *(kind for kind, _ in self._claims)})
        if seam not in known and (meant := nearest(seam, known, cutoff=0.9)):
            raise ValueError(f"there is no seam {seam!r}.{meant} Seams: {', '.join(known)}")

    def names(self, seam: str) -> list[str]:
        """The names registered for a seam, sorted."""
        return sorted(name for kind, name in self._claims if kind == seam)

    def find(self, seam: str, name: str) -> type[Any]:
        """The class registered under a name, or under ``source:name``.

        Raises ``ValueError`` that says what to do: no such name (with the nearest one), a name that
        two plugins claim, or a class that cannot be imported.
        """
        source, _, plain = name.rpartition(":")
        claims = self._claims.get((seam, plain), [])
        if source and claims:
            claims = [_of_source(seam, plain, claims, source)]
        if not claims:
            raise UnknownNameError(unknown(seam, name, self.names(seam)))
        claim = _preferred(claims)
        if claim is None:
            raise ValueError(_conflict(seam, plain, claims))
        if len(claims) > 1:
            others = ", ".join(f"'{c.source}:{plain}'" for c in claims if c is not claim)
            warn(f"{seam} {plain!r} is ddopt's own; plugins claim the name too, as {others}")
        try:
            found = claim.load()
        except (ImportError, AttributeError, SystemExit) as error:
            from ddopt.setup.extras import remedy

            raise ValueError(
                f"{seam} {plain!r} from {claim.provider} cannot be loaded: {error}.{remedy(error)}"
            ) from error
        if not isinstance(found, type) or (_part(found, "seam"), _part(found, "name")) != (
            seam,
            plain,
        ):
            raise ValueError(
                f"{seam} {plain!r} from {claim.provider} is registered as {claim.component!r}, "
                f"which is no {seam} of that name; a class has the seam and the name that it is "
                "registered with"
            )
        return found

    def claim(self, component: type[Any]) -> Claim | None:
        """Who has registered a class."""
        claims = self._claims.get((component.seam, _part(component, "name") or ""), [])
        return next((claim for claim in claims if claim.stands_for(component)), None)

    def spelled(self, component: type[Any]) -> str:
        """The name that finds a class: its own, with the source where the name is another's."""
        claims = self._claims.get((component.seam, component.name), [])
        own = self.claim(component)
        if own is None or _preferred(claims) is own:
            return component.name
        return f"{own.source}:{component.name}"

    def remarks(self, seam: str, name: str, source: str) -> str:
        """What a list of plugins says of a name of a source: who else claims it; or ""."""
        claims = self._claims[seam, name]
        if len(claims) == 1 or source == CORE:
            return ""
        stays = _preferred(claims)
        others = " and ".join(claim.provider for claim in claims if claim.source != source)
        verb = "has" if stays is not None else "claims"
        return f"{seam} {name!r}, which {others} {verb} too: choose it as '{source}:{name}'"

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
    source: str = ""

    def load(self) -> type[Any]:
        """The class, imported if it has not been."""
        if not isinstance(self.component, str):
            return self.component
        module, _, attribute = self.component.partition(":")
        if self.source == CORE or module in sys.modules:
            return cast("type[Any]", getattr(import_module(module), attribute))
        with guarded(self.provider):
            return cast("type[Any]", getattr(import_module(module), attribute))

    def stands_for(self, component: type[Any]) -> bool:
        """Whether it is the claim of a class, which need not be imported to know."""
        place = f"{component.__module__}:{component.__qualname__}"
        return self.component is component or self.component == place


def _part(found: object, what: str) -> str | None:
    return getattr(found, what, None)


def _preferred(claims: list[Claim]) -> Claim | None:
    """Whose a name is: ddopt's, or the only one's."""
    own = [claim for claim in claims if claim.source == CORE]
    return (own or claims)[0] if own or len(claims) == 1 else None


def _of_source(seam: str, name: str, claims: list[Claim], source: str) -> Claim:
    from ddopt.setup.extras import canonical

    found = [claim for claim in claims if canonical(claim.source) == canonical(source)]
    if not found:
        raise UnknownNameError(
            f"no {seam} named {name!r} comes from {source!r}; it comes from "
            f"{', '.join(claim.source for claim in claims)}"
        )
    return found[0]


class UnknownNameError(ValueError):
    """Nothing answers to a name."""


def _conflict(seam: str, name: str, claims: list[Claim]) -> str:
    providers = " and ".join(claim.provider for claim in claims)
    choices = " or ".join(f"'{claim.source}:{name}'" for claim in claims)
    return f"{seam} {name!r} is provided by both {providers}; choose {choices}, or uninstall one"


def nearest(word: str, words: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest of ``words``, or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""


FILES = "A plugin that is a file must be named: --plugin FILE, or plugins = [FILE] in a run file."


def unknown(kind: str, name: str, names: list[str]) -> str:
    """The message for a name that nothing answers to."""
    there = ", ".join(names) if names else "none"
    limit = os.environ.get("DDOPT_PLUGINS")
    loaded = f" Loaded are the plugins of DDOPT_PLUGINS={limit} only." if limit is not None else ""
    near = nearest(name, names)
    # What resembles nothing is no misprint: most often the file that brings it was not named.
    files = "" if near else f" {FILES}"
    return f"no {kind} named {brief(name)}.{near} Installed: {there}.{loaded}{files}"

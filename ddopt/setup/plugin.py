"""One plugin, and what authors forget: what is wrong with it, in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddopt.setup import hookspecs


@dataclass
class Plugin:
    """One plugin: where it comes from, what it registered, and what is wrong with it."""

    name: str  # of the module
    distribution: str = ""  # empty for a single file
    version: str = ""
    code: Any = None  # the module, or whatever else the entry point names
    components: list[tuple[str, str]] = field(default_factory=list)  # (seam, name)
    reason: str = ""  # why it is broken; empty if it is not

    @property
    def provider(self) -> str:
        """How messages call it."""
        return f"{self.name} ({self.distribution} {self.version})" if self.version else self.name

    @property
    def source(self) -> str:
        """What stands before the colon in ``source:name``."""
        return self.distribution or Path(self.name).stem

    @property
    def module(self) -> str:
        """The name of its module, wherever a file of it lies."""
        return self.name if self.distribution else Path(self.name).stem

    def runs(self, path: Path) -> bool:
        """Whether it is this file, loaded by its path or installed from where it lies."""
        return str(path) in (self.name, getattr(self.code, "__file__", None))

    @property
    def status(self) -> str:
        """``ok`` or ``broken``."""
        return "broken" if self.reason else "ok"


def mistaken(code: Any) -> str:
    """Functions that pluggy would never call, in a sentence: without a hook, or without a mark."""
    marked = [name for name in dir(code) if hasattr(getattr(code, name, None), "ddopt_impl")]
    hooks = [name for name in dir(hookspecs) if name.startswith("ddopt_")]
    if set(marked) - set(hooks):
        return f"no such hook: {', '.join(sorted(set(marked) - set(hooks)))}"
    bare = [name for name in hooks if hasattr(code, name) and name not in marked]
    if bare:
        return f"{', '.join(bare)} must be marked with @ddopt.hookimpl"
    return "" if marked else f"it has no hook: a function marked with @ddopt.hookimpl, {hooks}"


def twice(value: str, distribution: str, seen: dict[str, str]) -> str:
    """The sentence about what another entry point has named before: Python imports it once."""
    if value not in seen:
        seen[value] = distribution
        return ""
    if seen[value] == distribution:
        return f"two of its entry points name {value!r}; leave one of them out"
    return (
        f"{seen[value]} brings a module {value!r} too, and Python imports only one of them; "
        "uninstall one, or let its authors rename the module"
    )

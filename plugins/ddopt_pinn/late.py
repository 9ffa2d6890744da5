"""Modules that are imported when they are used, and not when somebody names them.

DeepXDE imports scikit-learn, statistics, plotting and quasi-random sampling with itself, and most
runs use none of them: they take half of the time until a run begins.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

SELDOM = (
    *("matplotlib", "matplotlib.pyplot", "mpl_toolkits", "mpl_toolkits.mplot3d", "skopt"),
    *("sklearn", "sklearn.preprocessing", "scipy.interpolate", "scipy.linalg", "scipy.stats"),
    *("scipy.spatial", "scipy.spatial.distance"),
)


class Late(ModuleType):
    """Stands for a module, or for what is in one, until something in it is asked for."""

    def __getattr__(self, name: str) -> Any:
        """Import the module, and hand out what it has; private names are nobody's business."""
        if name.startswith("_"):
            raise AttributeError(f"{self.__name__} is not imported for the private name {name!r}")
        return Part(self.__name__, name)


class Part(ModuleType):
    """Stands for one name in a module; it is the real one as soon as it is used."""

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"{module}.{name}")
        self._home = (module, name)

    def _real(self) -> Any:
        module, name = self._home
        found = import_module(module)
        try:
            return getattr(found, name)
        except AttributeError:  # a module inside that nobody has imported
            return import_module(f"{module}.{name}")

    def __getattr__(self, name: str) -> Any:
        """What the real one has."""
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real one."""
        return self._real()(*args, **kwargs)


@contextmanager
def imported_late(names: Sequence[str] = SELDOM) -> Iterator[None]:
    """Inside, an import of these modules gives stand-ins; whoever imports them later gets them.

    Modules that are imported already are what they are.
    """
    made = {name: Late(name) for name in names if name not in sys.modules}
    for name in made:  # a package that is there leaves its parts alone
        sys.modules[name] = made[name]
    try:
        yield
    finally:
        for name, module in made.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]

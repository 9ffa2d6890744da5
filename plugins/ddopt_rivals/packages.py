"""The packages that rivals come from."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ddopt.setup.extras import installing


def needed(module: str, whose: str) -> Any:
    """The module that baseline ``whose`` needs.

    Raises ``ModuleNotFoundError`` with the command that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"baseline {whose!r} needs {error.name}, which is not installed: {installing('rivals')}"
        ) from error

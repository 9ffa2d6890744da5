"""Warnings that point at a line of the user's."""

from __future__ import annotations

import sys
import warnings

OURS = ("ddopt", "torch", "deepxde")  # what a user's call passes through, beside our plugins


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the nearest line that lies in no library of ours, however deep the call came."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _ours(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _ours(module: str) -> bool:
    package = module.partition(".")[0]
    return package in OURS or package.startswith("ddopt_")

"""Going on with a run from Python: what ``ddopt resume`` does, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def carry_on(folder: Path, changes: Mapping[str, Any]) -> None:
    """Continue a run with a longer ``stop`` or another ``output``; ``ValueError`` otherwise."""
    from ddopt.run.execution import execute
    from ddopt.run.folder import CONFIG, Folder, load_again, refuse_changes
    from ddopt.setup.config import load_given

    settings = load_given(folder / CONFIG, changes)
    refuse_changes(folder, load_again(folder), settings)
    execute(settings, Folder(folder), resume=True)

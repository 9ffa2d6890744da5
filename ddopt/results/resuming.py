"""Going on with a run from Python: what ``ddopt resume`` does, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ddopt.setup.config import RunConfig


def carry_on(folder: Path, before: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Continue a run with a longer ``stop`` or another ``output``; returns its settings.

    ``before`` are those that it was made with. Raises ``ValueError`` for another change.
    """
    from ddopt.run.execution import execute
    from ddopt.run.folder import Folder, refuse_changes
    from ddopt.setup.config import FREE, load_given

    table = {key: getattr(before, key) for key in type(before).model_fields}
    table |= {key: table[key].model_dump(exclude_none=True) for key in FREE}
    settings = load_given({**table, "plugins": list(before.plugins)}, changes)
    refuse_changes(folder, before, settings)
    execute(settings, Folder(folder), resume=True)
    return settings

"""Training from Python: what ``ddopt run`` does, in this process, with a result to work with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ddopt.results.result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping


@overload
def train(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    show: bool = True,
    **changes: Any,
) -> Result: ...


# A type checker holds the values of ``**{"stop.iterations": 3}`` against every keyword named above.
@overload
def train(config: str | Path | Mapping[str, Any], **changes: Any) -> Result: ...


def train(
    config: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    show: bool = True,
    **changes: Any,
) -> Result:
    """Train what a run file, or a table in its form, describes; returns the result.

    ``changes`` are settings by their dotted keys: ``train("poisson2d.toml", **{"stop.iterations":
    3}, strategy="trust_region")``. The run folder is ``out``, or ``runs/<name>-<time>`` as on the
    command line; ``show=False`` prints nothing. Ctrl-C ends the run after the iteration, and the
    result can ``resume``. Problems and strategies may be given as objects; the result works with
    them, and ``ddopt.load`` needs their classes registered.

    Raises ``ValueError`` for a wrong setting, with the message of the command line.
    """
    from ddopt.run.execution import execute
    from ddopt.run.folder import Folder, new_path
    from ddopt.run.progress import Silence
    from ddopt.setup.config import load_given

    given = Path(config) if isinstance(config, (str, Path)) else config
    settings = load_given(given, changes)
    name = given if isinstance(given, Path) else Path(settings.problem.component.name)
    folder = new_path(name, Path(out) if out is not None else None)
    execute(settings, Folder(folder, None if show else Silence()))
    return Result(folder, settings)

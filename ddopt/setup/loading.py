"""The import of somebody else's code: watched, quiet on stdout, and unable to end the process."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager, redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 10.0  # seconds of one import, after which it is named


@contextmanager
def guarded(who: str) -> Iterator[None]:
    """Import something of a plugin's; ``who`` is how messages call the plugin.

    What it prints goes to stderr, since stdout belongs to the command (``show-config`` prints a
    run file). ``os._exit`` raises ``SystemExit``. After ``PATIENCE`` seconds the plugin is named
    on stderr, for whoever waits without knowing for what.
    """
    timer = threading.Timer(PATIENCE, tell_of, [who])
    timer.daemon = True
    timer.start()
    try:
        with redirect_stdout(sys.stderr), _kept_alive():
            yield
    finally:
        timer.cancel()
        timer.join()


def tell_of(who: str) -> None:
    """Name a plugin that takes long."""
    sys.stderr.write(
        f"warning: plugin {who} has been loading for {PATIENCE:g} s, and everything waits for it; "
        "uninstall it, or leave it out of DDOPT_PLUGINS=NAME,NAME,... (the plugins to load)\n"
    )
    sys.stderr.flush()


@contextmanager
def _kept_alive() -> Iterator[None]:
    """Let ``os._exit`` raise in this process; a child that was forked ends as it wants."""
    end, here = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != here:
            end(status)
        raise SystemExit(f"it called os._exit({status})")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = end


def execute(path: Path) -> Any:
    """Run a file as a module of its own name; raises ``ImportError`` where that is taken."""
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = module_from_spec(spec)
    if path.stem in sys.modules:
        raise ImportError(f"a module {path.stem!r} is imported already; rename the file")
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module

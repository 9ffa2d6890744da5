"""The checks of plugins that bring no components: hooks that watch runs, and commands."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddopt.setup.plugins import manager
from ddopt.testing.conduct import bits, require, saved, told
from ddopt.testing.regression import Regression

if TYPE_CHECKING:
    import torch

    from ddopt.setup.config import RunConfig

ITERATIONS, MIDDLE = 6, 3


@told
def check_hooks(code: Any, *, ranks: bool = True) -> None:
    """Hooks watch: a run has the same bits with them and without, also when it is resumed.

    ``code`` is the module of the plugin, or whatever else its entry point names. It is called in a
    run with a folder and in one without, as a process other than the first has it.
    """
    _check_marks(code)
    theta = {}
    for name, watched, folder in (
        ("without", False, True),
        ("with", True, True),
        ("on another process", True, False),
    ):
        theta[name] = bits(_trained(code, watched, folder, (ITERATIONS,)))
        require(
            theta[name] == theta["without"],
            code,
            f"a run that its hooks watch ({name}) ends at another θ than one that they do not: a "
            "hook moves θ, changes what the run is made of, or draws from the random numbers of "
            "the run",
        )
    state = _state(code)
    _trained(code, True, True, (MIDDLE, ITERATIONS))
    require(
        bits(_state(code)) == bits(state),
        code,
        "what its hooks remember is not the same after a run that was resumed: state_dict() and "
        "load_state_dict(state) beside them keep it, and ddopt_before_run begins anew",
    )


def _check_marks(code: Any) -> None:
    from ddopt.setup.plugin import mistaken

    mistake = mistaken(code)
    require(not mistake, code, mistake)


def _state(code: Any) -> Any:
    remembers = callable(getattr(code, "state_dict", None))
    return saved(code.state_dict()) if remembers else {}


def _trained(code: Any, watched: bool, written: bool, stages: tuple[int, ...]) -> torch.Tensor:
    """θ after a run, which is resumed after all stages but the last."""
    from ddopt.executor import Serial
    from ddopt.run import checkpoint
    from ddopt.run.execution import finish
    from ddopt.run.folder import Folder
    from ddopt.run.running import Run

    loaded = manager()
    with tempfile.TemporaryDirectory() as place, redirect_stdout(io.StringIO()):
        for iterations in stages:
            config, folder = _config(iterations), Folder(Path(place)) if written else None
            with loaded.only(code if watched else None) as plugin:
                run = Run(config, Serial(), folder)
                state = None if iterations == stages[0] else checkpoint.load(Path(place))
                if folder is not None:
                    folder.open(config, -1 if state is None else state["tally"]["iterations"])
                try:
                    finish(run, run.train(state))
                finally:
                    if folder is not None:
                        folder.close()
            require(plugin is None or not plugin.reason, code, getattr(plugin, "reason", ""))
    return run.theta


def _config(iterations: int) -> RunConfig:
    from ddopt.setup.config import load_given

    return load_given(
        {
            "problem": Regression.Config(),
            "stop": {"iterations": iterations},
            "output": {"figures": False, "checkpoint_every": 0, "measure_every": 2},
        },
        {},
    )


@told
def check_commands(code: Any) -> None:
    """Commands have names of their own and a help text, and answer to ``--help``."""
    import click
    from click.testing import CliRunner

    from ddopt.cli import COMMANDS

    _check_marks(code)
    group = click.Group()
    code.ddopt_add_commands(group=group)
    require(bool(group.commands), code, "ddopt_add_commands(group) has added no command")
    for name, command in group.commands.items():
        require(name not in COMMANDS, code, f"ddopt has a command {name!r} already")
        require(bool(command.help), code, f"command {name!r} needs a docstring: it is its help")
        with redirect_stdout(io.StringIO()):
            done = CliRunner().invoke(command, ["--help"])
        require(
            done.exit_code == 0,
            code,
            f"command {name!r} --help ends with exit code {done.exit_code}: {done.exception!r}",
        )

"""The checks of plugins that bring no components: hooks that watch runs, and commands."""

from __future__ import annotations

import io
import re
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddopt.run import chance
from ddopt.setup.plugins import manager
from ddopt.testing.conduct import bits, saved
from ddopt.testing.regression import Regression
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    import click

    from ddopt.run.running import Run
    from ddopt.setup.config import RunConfig

ITERATIONS, MIDDLE = 6, 3
NAME = re.compile(r"[a-z][a-z0-9-]*")


@told
def check_hooks(code: Any, *, ranks: bool = True) -> None:
    """Hooks watch: a run has the same bits with them and without, also when it is resumed.

    ``code`` is the module of the plugin, or whatever else its entry point names. It is called in a
    run with a folder and in one without, as a process other than the first has it.
    """
    _check_marks(code)
    _check_configured(code)
    _trained(code, False, True, (1,))  # what the first run of a process imports may draw numbers
    alone, chance_alone = _trained(code, False, True, (ITERATIONS,)), chance.state()
    for name, folder in (("with a folder", True), ("without one, as on another process", False)):
        run, drawn = _trained(code, True, folder, (ITERATIONS,)), chance.state()
        require(
            run.tally.iterations == alone.tally.iterations,
            code,
            f"a run that its hooks watch ({name}) ends after {run.tally.iterations} iterations, "
            f"and {alone.tally.iterations} without them: a hook asks it to stop",
        )
        require(
            bits(run.theta) == bits(alone.theta),
            code,
            f"a run that its hooks watch ({name}) ends at another θ than one that they do not: a "
            "hook moves θ, or changes what the run is made of",
        )
        require(
            bits(drawn) == bits(chance_alone),
            code,
            f"in a run that its hooks watch ({name}) a hook draws from the global random numbers "
            "of Python, numpy or torch, or seeds them; they belong to the run. Take numbers from a "
            "generator of its own",
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
    if not callable(getattr(code, "state_dict", None)):
        return {}
    state = code.state_dict()
    require(isinstance(state, dict), code, f"state_dict() must return a dict, not {state!r:.60}")
    return saved(state)


def _check_configured(code: Any) -> None:
    """One table becomes one configuration, on every process, and it is one."""
    from pydantic import ValidationError

    from ddopt.setup.config import RunConfig, plain

    tables = []
    for _ in range(2):
        table = plain(_config(ITERATIONS).model_dump())
        with manager().only(code) as plugin, redirect_stdout(io.StringIO()):
            manager().call("ddopt_configure", table=table)
        assert plugin is not None
        require(not plugin.reason, code, plugin.reason)
        tables.append(table)
    require(
        tables[0] == tables[1],
        code,
        "ddopt_configure changes the same table in two ways: it must depend on the table alone, for"
        " every process reads the run file",
    )
    try:
        RunConfig.model_validate(tables[0])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise AssertionError(
            f"ddopt_configure makes a run file that is refused: {key}: {first['msg']}"
        ) from None


def _trained(code: Any, watched: bool, written: bool, stages: tuple[int, ...]) -> Run:
    """A run that has ended, and was resumed after all stages but the last."""
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
    return run


def _config(iterations: int) -> RunConfig:
    from ddopt.setup.config import load_given

    return load_given(
        {
            "problem": Regression.Config(),
            "stop": {"iterations": iterations},
            "output": {"figures": False, "checkpoint_every": 2, "measure_every": 2},
        },
        {},
    )


@told
def check_commands(code: Any) -> None:
    """Commands have names of their own and a help text, and answer to ``--help``."""
    from ddopt.cli import Commands

    _check_marks(code)
    group, printed = Commands(), io.StringIO()
    with redirect_stdout(printed):
        code.ddopt_add_commands(group=group)
    said = printed.getvalue().strip()
    require(not said, code, f"ddopt_add_commands prints {said!r:.60}, at every command line")
    require(bool(group.commands), code, "ddopt_add_commands(group) has added no command")
    for name, command in group.commands.items():
        require(
            bool(NAME.fullmatch(name)),
            code,
            f"a command has small letters, digits and - in its name, and not {name!r}",
        )
        _check_command(code, name, command)


def _check_command(code: Any, name: str, command: click.Command) -> None:
    """It has a help text, does something, and answers to ``--help``, as do those within it."""
    from click.testing import CliRunner

    require(bool(command.help), code, f"command {name!r} needs a docstring: it is its help")
    within = getattr(command, "commands", {})
    does = command.callback is not None or bool(within)
    require(does, code, f"command {name!r} does nothing: decorate a function by @click.command")
    with redirect_stdout(io.StringIO()):
        done = CliRunner().invoke(command, ["--help"])
    require(
        done.exit_code == 0,
        code,
        f"command {name!r} --help ends with exit code {done.exit_code}: {done.exception!r}",
    )
    for inner, one in within.items():
        _check_command(code, f"{name} {inner}", one)

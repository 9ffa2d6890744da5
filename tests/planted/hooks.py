"""Hooks and commands with a defect, and what must be told."""

from __future__ import annotations

import os
import types

import click
import numpy as np
import torch

import ddopt


def watching(**functions):
    """A module of hooks; what is called like a hook is marked."""
    code = types.ModuleType("odd")
    for name, function in functions.items():
        marked = ddopt.hookimpl(function) if name.startswith("ddopt_") else function
        setattr(code, name, marked)
    return code


COUNT = {"steps": 0}


def counted(run):
    COUNT["steps"] += 1


def moving(run):
    run.engine.point.theta.mul_(1.0 + 1e-9)


def drawing(run):
    torch.manual_seed(3)
    run.engine.radius *= 0.5 + float(torch.rand(()))


def writing(run):
    (run.folder.path / "note.txt").write_text("done")


def begun(run):
    COUNT["steps"] = 0


HOOKS = {
    "moves θ": ({"ddopt_after_step": moving}, "ends at another θ"),
    "changes the radius": ({"ddopt_after_step": drawing}, "ends at another θ"),
    "forgets": (
        {
            "ddopt_before_run": begun,
            "ddopt_after_step": counted,
            "state_dict": lambda: dict(COUNT),
            "load_state_dict": lambda state: None,
        },
        "not the same after a run that was resumed",
    ),
    "takes the folder for granted": ({"ddopt_after_step": writing}, "AttributeError: 'NoneType'"),
    "raises": ({"ddopt_after_step": lambda run: 1 / 0}, "raised ZeroDivisionError"),
    "a hook that is none": ({"ddopt_after_stepp": counted}, "no such hook: ddopt_after_stepp"),
    "keeps functions": (
        {"ddopt_after_step": counted, "state_dict": lambda: {"f": counted},
         "load_state_dict": lambda state: None},
        "a state must be made of tensors, numbers",
    ),
}  # fmt: skip


def misspelt(run, reprot):
    pass


def chosen(table):
    table["stop"] = {"iterations": "many"}


def changing(table):
    table["seed"] = COUNT["steps"] = COUNT["steps"] + 1


def cached(run, path, restored):
    run.engine.radius *= 0.5


HOOKS |= {
    "misspells an argument": ({"ddopt_after_step": misspelt}, r"Argument\(s\) \{'reprot'\}"),
    "raises at the end": ({"ddopt_after_run": lambda run: 1 / 0}, "ddopt_after_run raised ZeroDiv"),
    "moves at a checkpoint": ({"ddopt_on_checkpoint": cached}, "ends at another θ"),
    "stops the run": (
        {"ddopt_after_step": lambda run: run.request_stop()},
        "ends after 2 iterations, and 6 without them: a hook asks it to stop",
    ),
    "draws": ({"ddopt_after_step": lambda run: np.random.rand()}, "a hook draws from the global"),
    "does not begin anew": (
        {
            "ddopt_after_step": counted,
            "state_dict": lambda: dict(COUNT),
            "load_state_dict": COUNT.update,
        },
        "ddopt_before_run begins anew",
    ),
    "keeps no dict": (
        {
            "ddopt_after_step": counted,
            "state_dict": lambda: None,
            "load_state_dict": lambda state: None,
        },
        "must return a dict, not None",
    ),
    "configures nonsense": (
        {"ddopt_configure": chosen},
        "a run file that is refused: stop.iterations: Input should be a valid integer",
    ),
    "configures in two ways": ({"ddopt_configure": changing}, "the same table in two ways"),
    "switches gradients off": (
        {"ddopt_after_step": lambda run: torch.set_grad_enabled(False)},
        "it changes the mode of gradients",
    ),
    "changes the dtype": (
        {"ddopt_before_run": lambda run: torch.set_default_dtype(torch.float64)},
        "it changes torch's default dtype",
    ),
    "changes the threads": (
        {"ddopt_before_run": lambda run: torch.set_num_threads(2)},
        "torch's number of threads, from 1 to 2",
    ),
    "changes the directory": (
        {"ddopt_after_run": lambda run: os.chdir("/")},
        "it changes the working directory",
    ),
}


def adding(name, text, callback=lambda: None):
    def add(group):
        command = click.Command(name, callback=callback, help=text)
        group.add_command(command)

    return {"ddopt_add_commands": add}


def broken(group):
    @group.command(params=[click.Option(["--help", "x"], type=int)])
    def odd():
        """Takes help for an option of its own."""


COMMANDS = {
    "no command": ({"ddopt_add_commands": lambda group: None}, "has added no command"),
    "a name of ddopt's": (adding("run", "Run."), "there is a command 'run' already"),
    "no help": (adding("odd", None), "needs a docstring"),
    "help that fails": ({"ddopt_add_commands": broken}, "--help ends with exit code"),
    "raises": ({"ddopt_add_commands": lambda group: 1 / 0}, "it raised ZeroDivisionError"),
}


def grouped(group):
    @group.group()
    def odd():
        """A group."""

    @odd.command()
    def inner():
        pass


COMMANDS |= {
    "a function": (
        {"ddopt_add_commands": lambda group: group.add_command(print)},
        "must be a click.Command",
    ),
    "a name with a space": (adding("odd one", "Odd."), "small letters, digits and -"),
    "the same name twice": (
        {"ddopt_add_commands": lambda group: [adding("odd", "Odd.")["ddopt_add_commands"](group)
                                              for _ in range(2)]},
        "there is a command 'odd' already",
    ),
    "no help within a group": ({"ddopt_add_commands": grouped}, "'odd inner' needs a docstring"),
    "does nothing": (adding("odd", "Odd.", None), "command 'odd' does nothing"),
    "prints": (
        {"ddopt_add_commands": lambda group: click.echo("odd")},
        "ddopt_add_commands prints 'odd', at every command line",
    ),
}  # fmt: skip

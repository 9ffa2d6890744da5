"""Hooks and commands with a defect, and what must be told."""

from __future__ import annotations

import types

import click
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
        "must be made of tensors, numbers|state_dict",
    ),
}  # fmt: skip


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
    "a name of ddopt's": (adding("run", "Run."), "has a command 'run' already"),
    "no help": (adding("odd", None), "needs a docstring"),
    "help that fails": ({"ddopt_add_commands": broken}, "--help ends with exit code"),
    "raises": ({"ddopt_add_commands": lambda group: 1 / 0}, "it raised ZeroDivisionError"),
}

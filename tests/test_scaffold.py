"""``ddopt new-plugin``: one plugin of every kind passes its own tests, and runs."""

import ast
import sys
import tomllib

import pytest
from click.testing import CliRunner

from ddopt.cli import cli
from ddopt.run.execution import execute
from ddopt.run.stopping import StopReason
from ddopt.setup import scaffold
from ddopt.setup.config import load

KINDS = scaffold.kinds()


def lines_of_code(text):
    """Lines that are no docstring, comment, or empty."""
    tree = ast.parse(text)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    skipped = {
        line
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and number not in skipped
        for number, line in enumerate(text.splitlines(), 1)
    )


def made(kind, tmp_path, monkeypatch):
    """The folder of a new plugin, from which Python imports."""
    folder, command = scaffold.write(f"odd-{kind}", kind, tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    return folder, f"ddopt_odd_{kind}", command


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_own_test_and_runs(kind, tmp_path, monkeypatch):
    folder, module, command = made(kind, tmp_path, monkeypatch)
    assert lines_of_code((folder / f"{module}.py").read_text()) <= 40
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["ddopt"] == {f"odd_{kind}": module}
    names = {}
    exec((folder / f"test_{module}.py").read_text(), names)
    (test,) = (value for key, value in names.items() if key.startswith("test_"))
    test()
    del sys.modules[module]
    config = load(folder / "run.toml", ["stop.iterations=2"], [folder / f"{module}.py"])
    assert execute(config, None) is StopReason.ITERATIONS
    assert module in command or kind == "command"


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("Odd", "radius", "small letters"),
        ("a--b", "radius", "small letters"),
        ("odd", "radious", "no kind 'radious' of plugin; there are acceptance, "),
        ("stepwise", "radius", "there is a radius called 'stepwise' already"),
    ],
)
def test_a_name_that_cannot_be_is_told(name, kind, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        scaffold.write(name, kind, tmp_path)
    assert not any(tmp_path.iterdir())


def test_the_command_says_what_to_do_next(tmp_path):
    call = ["new-plugin", "ddopt-odd", "--kind", "radius", "--out", str(tmp_path)]
    done = CliRunner().invoke(cli, call)
    assert done.exit_code == 0, done.output
    assert f"cd {tmp_path / 'ddopt-odd'}" in done.output
    assert "ddopt run run.toml --plugin ddopt_odd.py" in done.output
    assert "Once it is installed (pip install .), leave out --plugin." in done.output
    again = CliRunner().invoke(cli, call)
    assert again.exit_code == 2
    assert "is there already" in again.output


def test_the_help_names_every_kind():
    text = " ".join(CliRunner().invoke(cli, ["new-plugin", "--help"]).output.split())
    assert f"Kinds: {', '.join(KINDS)}." in text

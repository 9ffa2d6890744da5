"""The command line, as a person meets it."""

import errno
import json
import logging

import pytest
import torch
from click.testing import CliRunner

from ddopt.cli import COMMANDS, cli
from ddopt.setup.storage import data_root
from tests.runs import BOWL, ddopt, write_run_file


@pytest.fixture
def run_file(tmp_path):
    return write_run_file(tmp_path)


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_help_is_quick_and_lists_every_command():
    done = ddopt("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for name, sentence in COMMANDS.items():
        assert name in done.stdout
        assert sentence in done.stdout
    for slow in ("torch", "pydantic", "numpy"):
        assert f" {slow}\n" not in done.stderr


def test_the_command_table_agrees_with_the_commands():
    for name, sentence in COMMANDS.items():
        done = invoke(name, "--help")
        assert done.exit_code == 0
        assert done.output.startswith(f"Usage: cli {name}"), sentence


def test_a_run_ends_with_the_path_of_its_folder(run_file, tmp_path):
    done = ddopt("run", run_file, "strategy.subdomains=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    place = tmp_path / done.stdout.splitlines()[-1]
    assert place.parent == tmp_path / "runs"
    summary = json.loads((place / "summary.json").read_text())
    assert summary["subdomains"] == 2
    assert "iteration 12  loss" in done.stdout
    assert "stopped (iterations)" in done.stdout


def test_a_wrong_config_is_one_message_and_exit_code_2(run_file):
    done = ddopt("run", run_file, "solver.memory=5")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: solver.memory on the command line: there is no such key")
    assert "Did you mean 'solver.hessian.memory'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "absent.toml"], "cannot read absent.toml"),
        (["run", "{file}", "strategy.subdomains=1000"], "cannot deal"),
        (["run", "{file}", "stop.iterations=three"], "stop.iterations on the command line"),
        (["run", "{file}", "--plugin", "absent.py"], "there is no plugin file"),
        (["run", "{file}", "--out", "a", "--resume", "b"], "give one of them"),
        (["resume", "absent"], "holds no run"),
        (["run", "."], ". is a folder; expected a run file"),
        (["run", "{file}", "stop.iterations="], "stop.iterations: there is no value behind the ="),
        (["compare", "{file}", "--out", "{file}/x", "--seconds", "1"], "x: Not a directory"),
        (["rnu"], "Did you mean 'run'?"),
    ],
)
def test_user_errors_have_exit_code_2(run_file, tmp_path, arguments, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke(*(argument.replace("{file}", str(run_file)) for argument in arguments))
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_full_disk_is_one_message_and_leaves_no_file(run_file, tmp_path, monkeypatch):
    def save(state, stream):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 - as torch does it

    monkeypatch.setattr(torch, "save", save)
    done = invoke("run", run_file, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "00000004.draft: No space left on device; make room, then continue" in done.output
    assert list((tmp_path / "out" / "checkpoints").iterdir()) == []


def test_a_dry_run_writes_nothing(run_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = invoke("run", run_file, "--dry-run")
    assert done.exit_code == 0, done.output
    assert "nothing was written" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["bowl.toml"]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_first_process_says_which_ways_are_chosen_when_asked_to(
    run_file, monkeypatch, request, rank
):
    monkeypatch.setenv("RANK", rank)
    log = logging.getLogger("ddopt")
    request.addfinalizer(lambda: log.setLevel(logging.NOTSET))
    invoke("run", run_file, "-v", "stop.iterations=none")
    assert log.isEnabledFor(logging.INFO) == (rank == "0")


def test_an_interrupted_run_is_resumed_from_the_command_line(run_file, tmp_path, monkeypatch):
    place = tmp_path / "out"
    monkeypatch.setenv("BOWL_SIGINT", "3")
    done = invoke("run", run_file, "--out", place)
    assert done.exit_code == 130
    assert f"to go on: ddopt resume {place}" in done.output
    monkeypatch.delenv("BOWL_SIGINT")
    done = invoke("run", run_file, "--resume", place)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == str(place)
    assert invoke("run", run_file, "seed=1", "--resume", place).exit_code == 2
    assert invoke("resume", place, "stop.iterations=14").exit_code == 0
    assert json.loads((place / "summary.json").read_text())["outer_iterations"] == 14


@pytest.mark.parametrize("strategy", ["trust_region", "sapts_d", "napts"])
def test_a_gradient_that_is_not_finite_has_an_exit_code_of_its_own(run_file, tmp_path, strategy):
    done = invoke(
        "run", run_file, f"strategy={strategy}", "problem.cusp=true", "--out", tmp_path / "out"
    )
    assert done.exit_code == 3
    assert "stopped (no_finite_step): the loss is finite, but its gradient" in done.output
    assert done.output.splitlines()[-1] == str(tmp_path / "out")


def test_processes_pass_that_exit_code_on(run_file, tmp_path):
    done = ddopt(
        "run", run_file, "problem.cusp=true", "--processes", "2", "--out", tmp_path / "out"
    )
    assert done.returncode == 3, done.stderr
    assert "stopped (no_finite_step)" in done.stdout


@pytest.mark.ranks
def test_processes_pass_the_exit_code_of_a_mistake_on(run_file, tmp_path):
    plugin = tmp_path / "uneven.py"
    plugin.write_text(
        "import os, ddopt, torch\n"
        "class Uneven(ddopt.Decomposition):\n"
        "    name = 'uneven'\n"
        "    def split(self, problem):\n"
        "        cut = 4 + int(os.environ['RANK'])\n"
        "        index = torch.arange(problem.layout.size)\n"
        "        return [ddopt.Subdomain(0, index[:cut]), ddopt.Subdomain(1, index[cut:])]\n"
        "@ddopt.hookimpl\n"
        "def ddopt_register(register):\n"
        "    register(Uneven)\n"
    )
    changes = "strategy={name='sapts', decomposition='uneven'}"
    place, two = tmp_path / "out", ("--processes", "2")
    done = ddopt("run", run_file, changes, "--plugin", plugin, "--out", place, *two)
    assert done.returncode == 2
    assert "subdomains of Uneven of rank 1 differs from that of rank 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not place.exists()


def test_ctrl_c_that_nobody_caught_has_the_exit_code_of_shells(run_file, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("ddopt.run.running.Run.train", interrupted)
    for command in ("run", "compare"):
        done = invoke(command, run_file, "stop.evaluations=9", "--out", tmp_path / command)
        assert done.exit_code == 130
        assert "interrupted" in done.output
        assert "Aborted" not in done.output


def test_show_config_prints_every_default(run_file):
    done = invoke("show-config", run_file, "solver.hessian.memory=9")
    assert done.exit_code == 0
    assert "memory = 9" in done.output
    assert "checkpoint_every = 4" in done.output


def test_problems_are_listed_with_their_first_sentence():
    done = invoke("problems", "--plugin", BOWL)
    assert "bowl" in done.output
    assert "Nonlinear least squares whose solution is known." in done.output


def test_plugins_are_listed():
    done = invoke("plugins")
    assert done.exit_code == 0
    assert "ddopt.builtin" in done.output


def test_the_doctor_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("DDOPT_DATA_ROOT", str(tmp_path / "absent"))
    done = invoke("doctor")
    assert done.exit_code == 0
    for subject in ("python", "torch", "distributed", "threads", "absent does not exist"):
        assert subject in done.output


def test_the_doctor_says_where_data_go_by_themselves(monkeypatch, tmp_path):
    monkeypatch.delenv("DDOPT_DATA_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert f"{data_root()} (DDOPT_DATA_ROOT is not set" in invoke("doctor").output


def test_a_folder_that_holds_a_run_is_told_before_processes_start(run_file, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.jsonl").write_text("{}\n")
    monkeypatch.setattr("ddopt.commands.run.launch", lambda processes: pytest.fail("started"))
    done = invoke("run", run_file, "--processes", 2, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "holds a run already" in done.output


def test_a_plugin_adds_a_command_but_replaces_none(tmp_path):
    from ddopt.setup.plugins import PluginManager

    path = tmp_path / "command_plugin.py"
    path.write_text(
        "import click, ddopt\n"
        "@ddopt.hookimpl\n"
        "def ddopt_add_commands(group):\n"
        "    group.add_command(click.Command('hello', help='Say hello.'))\n"
    )
    manager = PluginManager()
    manager.load_file(path)
    group = type(cli)("ddopt")
    manager.call("ddopt_add_commands", group=group)
    assert "hello" in group.commands
    import click

    with pytest.raises(ValueError, match="a command 'run' already"):
        group.add_command(click.Command("run"))

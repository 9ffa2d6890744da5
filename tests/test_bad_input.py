"""Bad input of every kind: exit code 2, one short message, and nothing left behind."""

import random

import pytest
import torch
from click.testing import CliRunner

from ddopt.cli import cli
from ddopt.setup.limits import DEPTH, brief, refuse_extremes
from tests.runs import write_run_file

DEEP, LONG = 5_000, "k" * 2_000
DOTS = ".".join(["a"] * 1_000)
OVERRIDES = [
    "x=" + "[" * DEEP,
    "x=" + "[" * DEEP + "]" * DEEP,
    "problem.x=" + "[" * 200 + "]" * 200,
    "x=" + "{a=" * DEEP + "1" + "}" * DEEP,
    f"{DOTS}=1",
    f"problem.{DOTS}=1",
    "solver." + ".".join(["hessian"] * 1_000) + "=1",
    f"{LONG}=1",
    f"problem.{LONG}=1",
    f"strategy={LONG}",
    f"seed={LONG}",
    f'seed="{LONG}"',
    f"{LONG}",
    "=1",
    "seed=1e-320",
    "solver.first_radius=1e-320",
    "solver.first_radius=1e-300",
    "solver.first_radius=nan",
    "solver.first_radius=-inf",
    "strategy.first_radius=1e-320",
    "threads=100000",
    "threads=0",
    "threads=99999999999999999999",
    "seed=-1",
    "seed=99999999999999999999",
    "seed=" + "9" * DEEP,
    "solver.hessian={name='lsr1', memory=100000000}",
    "solver.hessian.memory=100000000",
    "strategy.subdomains=1000000000",
    "strategy.local_iterations=99999999999999999999",
    "stop.iterations=1e400",
    "stop.evaluations=nan",
    "stop.seconds=nan",
    "stop.loss=nan",
    "output.frames=1000000000000",
    "plugins=['a\\u0000b']",
    f"plugins=['{LONG}']",
    "plugins='one.py'",
    "problem=[[]]",
    "problem=1979-05-27",
    "strategy={name=1}",
    "strategy=1e400",
    "sampling.size=0",
    "device=tpu",
]
FILES = [
    "x = " + "[" * DEEP + "]" * DEEP,
    "x = " + "{a=" * DEEP + "1" + "}" * DEEP,
    f"[{DOTS}]",
    f"{DOTS} = 1",
    f"[strategy.{DOTS}]",
    "seed = " + "9" * DEEP,
    f"{LONG} = 1",
    "[output]\nframes = 99999999999999999999",
    "\x00",
    "x = 'a",
]


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_run_file(tmp_path)


def refused(path, *arguments):
    """The message of a command that must not work, and must leave nothing behind."""
    before = sorted(path.parent.iterdir())
    done = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert done.exit_code == 2, done.output[-500:]
    assert isinstance(done.exception, SystemExit)
    assert len(done.stderr) < 700
    assert "Traceback" not in done.output
    assert sorted(path.parent.iterdir()) == before
    return done.stderr


@pytest.mark.parametrize("change", OVERRIDES, ids=lambda text: text[:40])
def test_a_bad_change(run_file, change):
    refused(run_file, "run", run_file, change, "--out", "out")


@pytest.mark.parametrize("text", FILES, ids=lambda text: ascii(text[:30]))
def test_a_bad_file(run_file, text):
    run_file.write_text(f"{text}\n{run_file.read_text()}")
    assert "bowl.toml" in refused(run_file, "run", run_file, "--out", "out")


ARGUMENTS = {
    "no number": ["compare", "{file}", "--evaluations", "nan"],
    "without end": ["compare", "{file}", "--evaluations", "inf"],
    "nothing": ["compare", "{file}", "--seconds", "0"],
    "no interval": ["compare", "{file}", "--seconds", "1", "--every", "nan"],
    "no rate": ["compare", "{file}", "--seconds", "1", "--rates", "nan"],
    "many rates": ["compare", "{file}", "--seconds", "1", "--rates", "1:2:1000000000000"],
    "less than no rates": ["compare", "{file}", "--seconds", "1", "--rates", "1:2:-1"],
    "many seeds": ["compare", "{file}", "--seconds", "1", "--seeds", "9" * 30],
    "a long baseline": ["compare", "{file}", "--seconds", "1", "--against", LONG],
    "half a strategy": ["compare", "{file}", "--seconds", "1", "--with", "sapts_d:"],
    "no strategy": ["compare", "{file}", "--seconds", "1", "--with", "sapts_d:nan"],
    "many processes": ["run", "{file}", "--processes", "1000000"],
    "no processes": ["run", "{file}", "--processes", "0"],
    "a long folder": ["run", "{file}", "--out", "x" * 300],
    "a long plugin": ["run", "{file}", "--plugin", "x" * 300],
    "a folder as plugin": ["run", "{file}", "--plugin", "."],
    "a long file": ["run", "x" * 300],
    "a long command": [LONG],
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_bad_arguments(run_file, case):
    refused(run_file, *(word.replace("{file}", str(run_file)) for word in ARGUMENTS[case]))


@pytest.mark.parametrize("command", ["run", "show-config", "problems", "plugins", "itself"])
def test_links_that_lead_to_each_other(run_file, command):
    for name, other in (("a.py", "b.py"), ("b.py", "a.py")):
        (run_file.parent / name).symlink_to(other)
    if command == "itself":
        assert "cannot read" in refused(run_file, "run", "a.py")
        return
    files = [run_file] if command in ("run", "show-config") else []
    assert "no plugin file" in refused(run_file, command, *files, "--plugin", "a.py")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.28 TiB for an array"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried\nframe #1"),
    ],
    ids=["Python", "GPU", "CPU"],
)
def test_memory_that_runs_out_is_a_message(run_file, monkeypatch, error):
    def allocate(*_):
        raise error

    monkeypatch.setattr("ddopt.run.running.Run.train", allocate)
    said = refused(run_file, "run", run_file, "--out", "out")
    assert "does not fit into memory" in said
    assert "frame" not in said


def test_an_error_that_is_none_of_the_user_s_is_shown_whole(run_file, monkeypatch):
    def fail(*_):
        raise RuntimeError("an assumption does not hold")

    monkeypatch.setattr("ddopt.run.running.Run.train", fail)
    done = CliRunner().invoke(cli, ["run", str(run_file), "--out", "out"])
    assert done.exit_code == 1
    assert isinstance(done.exception, RuntimeError)
    assert not (run_file.parent / "out").exists()


def nested(depth):
    table = value = {}
    for _ in range(depth - 1):
        value["a"] = value = {}
    return table


def test_the_limits_are_far_from_every_setting():
    refuse_extremes({"a": [1, -1.5, 0.0, "b", float("inf"), True], "b": {"c": 2**63 - 1}})
    refuse_extremes(nested(DEPTH))
    with pytest.raises(ValueError, match=r"a\.a\.a.*nested more than"):
        refuse_extremes(nested(DEPTH + 1))
    with pytest.raises(ValueError, match="b: a whole number of at most 64 bits"):
        refuse_extremes({"b": -(2**63)})
    with pytest.raises(ValueError, match=r"a: 5e-324 is below"):
        refuse_extremes({"a": [5e-324]})


def test_what_is_long_is_shown_in_part():
    assert brief("a" * 60) == f"'{'a' * 55}...'"
    assert brief("a" * 50) == repr("a" * 50)
    assert len(brief(list(range(1000)))) <= 62


def test_random_text_never_ends_in_a_traceback(run_file):
    """A small fuzz: pieces of settings in any order, as one change or as a file."""
    random.seed(0)
    pieces = [
        *("[", "]", "{", "}", "=", ".", ",", '"', "'", "\n", "#", "solver", "hessian", "name"),
        *("strategy", "sapts_d", "1e400", "nan", "-1", "1", "true", "\\u0000", "é", "first_radius"),
    ]
    for _ in range(150):
        text = "".join(random.choices(pieces, k=random.randint(1, 8)))
        done = CliRunner().invoke(cli, ["show-config", str(run_file), text])
        assert done.exit_code in (0, 2), text
        file = run_file.with_name("other.toml")
        file.write_text(f"{text}\n{run_file.read_text()}", encoding="utf-8")
        done = CliRunner().invoke(cli, ["show-config", str(file)])
        assert done.exit_code in (0, 2), text

"""Processes that are signalled, die and are started again."""

import errno
import json
import signal

import pytest
import torch

from ddopt.executor import Serial
from ddopt.run import bundle, checkpoint, execution, stored
from ddopt.run.folder import Folder, begun
from ddopt.run.running import Run
from ddopt.setup.config import load
from ddopt.testing.ranks import gather_ranks, run_ranks
from tests.runs import ddopt, torchrun, write_run_file
from tests.test_cli import invoke
from tests.test_run import run, timeless, unsent

pytestmark = pytest.mark.ranks


@pytest.fixture
def run_file(tmp_path):
    return write_run_file(tmp_path)


@pytest.fixture
def whole(run_file, tmp_path):
    run(run_file, tmp_path / "whole")
    return unsent(tmp_path / "whole")


@pytest.mark.parametrize("named", [True, False])
def test_a_rank_that_dies_is_started_again_and_the_run_goes_on(run_file, tmp_path, whole, named):
    place = ["--out", tmp_path / "out"] if named else []
    done = torchrun(
        "run", run_file, *place, processes=2, cwd=tmp_path, BOWL_SIGKILL="9", BOWL_RANK="1"
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / done.stdout.splitlines()[-1]
    assert unsent(folder) == whole
    assert [path.parent for path in tmp_path.rglob("metrics.jsonl")].count(folder) == 1
    assert len(list(tmp_path.rglob("metrics.jsonl"))) == 2  # that of the whole run, and this one


def test_so_it_is_while_a_run_is_resumed(run_file, tmp_path, whole):
    run(run_file, tmp_path / "out", "stop.iterations=4")
    done = torchrun("resume", tmp_path / "out", "stop.iterations=12", processes=2, BOWL_SIGKILL="6")
    assert done.returncode == 0, done.stderr
    assert unsent(tmp_path / "out") == whole


def test_only_the_same_unfinished_run_is_taken_up_again(run_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load(run_file)
    assert begun(run_file, None, config) is None
    for name, changes in (("1", []), ("2", []), ("3", ["seed=1"])):
        run(run_file, tmp_path / "runs" / f"bowl-{name}", *changes)
    assert begun(run_file, None, config) is None  # all have ended
    (tmp_path / "runs" / "bowl-1" / "summary.json").unlink()
    (tmp_path / "runs" / "bowl-3" / "summary.json").unlink()
    assert begun(run_file, None, config).name == "bowl-1"
    assert begun(run_file, tmp_path / "runs" / "bowl-2", config).name == "bowl-2"
    assert begun(run_file, tmp_path / "runs" / "bowl-3", config) is None


@pytest.mark.parametrize("kind", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_to_one_rank_ends_all_with_a_checkpoint(run_file, tmp_path, whole, kind):
    place, once = tmp_path / "out", {f"BOWL_{kind}": "6", "BOWL_RANK": "1"}
    done = ddopt("run", run_file, "--processes", 2, "--out", place, **once)
    assert done.returncode == 130, done.stderr
    assert "stopped (interrupted)" in done.stdout
    assert checkpoint.load(place)["tally"]["iterations"] == 7
    assert ddopt("resume", place, "--processes", 3).returncode == 0
    assert unsent(place) == whole


@pytest.fixture
def _not_ignored():
    """As in a terminal; what is started by nohup ignores the signal, and so would the run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("_not_ignored")
def test_sighup_is_sigterm(run_file, tmp_path, monkeypatch):
    monkeypatch.setenv("BOWL_SIGHUP", "4")
    assert invoke("run", run_file, "--out", tmp_path / "out").exit_code == 130
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["stop_reason"] == "interrupted"


def test_who_was_told_to_ignore_sighup_does(run_file, tmp_path):
    place = tmp_path / "out"
    code = "import signal, runpy, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    code += "sys.argv[0] = 'ddopt'; runpy.run_module('ddopt', run_name='__main__')"
    from tests.runs import python

    done = python("-c", code, "run", run_file, "--out", place, BOWL_SIGHUP="4")
    assert done.returncode == 0, done.stderr


def train(executor, file, place, changes, resume=False):
    """A run on this rank, whose processes have met already."""
    config = load(file, changes)
    folder = Folder(place) if executor.rank == 0 else None
    running = Run(config, executor, folder)
    state = bundle.load(place, running) if resume else None
    execution._train(running, state)


@pytest.mark.parametrize("size", [1, 2])
def test_a_full_disk_says_the_same_of_a_checkpoint_in_pieces(run_file, tmp_path, monkeypatch, size):
    file, written = run_file, []

    def full(tree):
        written.append(tree)
        if len(written) == 8:  # of each checkpoint: three subdomains and the bundle
            raise OSError(errno.ENOSPC, "No space left on device")
        return tree

    monkeypatch.setattr(stored, "tight", full)
    place = tmp_path / "out"
    if size == 1:
        execution_of = pytest.raises(OSError, match="No space left")
        with execution_of as raised:
            train(Serial(), file, place, ["stop.iterations=99", "output.checkpoint_every=1"])
        said = str(raised.value)
    else:
        said = str(gather_ranks(train, 2, file, place, ["output.checkpoint_every=1"])[0])
    assert "No space left on device" in said
    assert ".pt" in said or ".draft" in said
    monkeypatch.undo()
    there = checkpoint.load(place)["tally"]["iterations"]
    assert there >= 1
    assert run(file, place, resume=True)[1][-1]["iteration"] == 12


def test_what_many_processes_save_goes_on_in_one_and_in_others(run_file, tmp_path, whole):
    place = tmp_path / "out"
    run_ranks(train, 3, run_file, place, ["stop.iterations=5"])
    assert len(list((place / "checkpoints" / "00000005").iterdir())) == 3
    run_ranks(train, 2, run_file, place, ["stop.iterations=9"], True)
    run(run_file, place, resume=True)
    assert unsent(place) == whole
    assert not (place / "checkpoints" / "00000009").exists() or len(timeless(place)) == 13


def test_a_state_that_isreceived_over_keeps_its_types(tmp_path):
    from ddopt.run.shards import received, sent

    state = {
        "a": [1, (2.5, None)],
        "b": {3: torch.arange(4), "c": torch.zeros(7, 2)},
        "d": torch.randn(50)[3:9],
        "e": torch.tensor(2.0, dtype=torch.float64),
        "f": torch.tensor([1, 2], dtype=torch.uint8),
    }

    def pass_on(executor):
        if executor.rank == 1:
            sent(executor, stored.tight(state))
            return None
        return stored.loose(received(executor, 1, torch.device("cpu")))

    found = run_ranks(pass_on, 2)[0]
    assert found["a"] == state["a"]
    assert torch.equal(found["b"][3], state["b"][3])
    assert torch.equal(found["b"]["c"], state["b"]["c"])
    assert torch.equal(found["d"], state["d"])
    assert found["e"].dtype == torch.float64
    assert found["f"].dtype == torch.uint8

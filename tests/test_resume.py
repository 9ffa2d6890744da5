"""A resumed run finds what it left: else it says so, or computes again what is lost."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from ddopt.run import checkpoint, files, record
from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.setup.config import load
from tests.runs import write_run_file
from tests.test_cli import invoke
from tests.test_run import timeless

STOP = "stop.iterations=16"


def train(folder, place, *changes, resume=False):
    execute(load(write_run_file(folder), ["output.figures=false", *changes]), place, resume=resume)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of 12 iterations with checkpoints at 8 and 12, and what 16 would have given."""
    place = tmp_path_factory.mktemp("runs")
    train(place, Folder(place / "cut"))
    train(place, Folder(place / "whole"), STOP)
    return place


@pytest.fixture
def cut(runs, tmp_path):
    return Path(shutil.copytree(runs / "cut", tmp_path / "cut"))


def resumed(cut):
    """The command and what it says; of a damaged folder it never shows a traceback."""
    done = invoke("resume", cut, STOP)
    assert done.exit_code in (0, 2), done.output
    assert "Traceback" not in done.output
    return done


def refused(cut, message):
    done = resumed(cut)
    assert done.exit_code == 2, done.output
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr) < 700


def mended(runs, cut, warning=None):
    if warning is None:
        done = resumed(cut)
    else:
        with pytest.warns(UserWarning, match=warning):
            done = resumed(cut)
    assert done.exit_code == 0, done.output
    assert timeless(cut) == timeless(runs / "whole")


def changed(place, change, iteration=12):
    """Write a checkpoint anew, with a checksum that is right."""
    path = place / checkpoint.FOLDER / f"{iteration:08d}.pt"
    state = checkpoint.read(path)
    change(state)
    checkpoint.write(path, state)
    path.with_name(f"{path.name}.sha256").write_text(checkpoint.digest(path))


def test_a_run_goes_on_as_if_it_had_not_ended(runs, cut):
    mended(runs, cut)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("subdomains = 3", "subdomains = 2", "strategy.subdomains is 2 and was 3"),
        ("memory = 4", "memory = 5", "solver.hessian.memory is 5 and was 4"),
        ('subproblem = "obs"', 'subproblem = "dogleg"', "obs"),
        ('dtype = "float64"', 'dtype = "float32"', "dtype is 'float32' and was 'float64'"),
        ("seed = 0", "seed = 1", "seed is 1 and was 0"),
        ("size = 10", "size = 11", "problem.size is 11 and was 10"),
        ("consistency = true", "consistency = false", "strategy.consistency is False"),
        ("threads = 1", "threads = 2", "threads is 2 and was 1"),
    ],
)
def test_settings_that_were_edited_are_named(cut, old, new, named):
    config = cut / "config.toml"
    text = config.read_text()
    if "subproblem" in old:
        old, new = '[solver.subproblem]\nname = "obs"', '[solver.subproblem]\nname = "cauchy"'
        named = "solver.subproblem.name is 'cauchy' and was 'obs'"
    assert old in text
    config.write_text(text.replace(old, new, 1))
    refused(cut, f"written with other settings: .*{re.escape(named)}.*start a new run")


def test_the_checkpoints_of_another_run_are_refused(runs, cut, tmp_path):
    shutil.rmtree(cut / "checkpoints")
    train(tmp_path, Folder(tmp_path / "other"), "seed=3")
    shutil.copytree(tmp_path / "other" / "checkpoints", cut / "checkpoints")
    refused(cut, "other settings: seed is 0 and was 3")


def test_the_record_of_another_run_is_refused(cut, tmp_path):
    train(tmp_path, Folder(tmp_path / "other"), "seed=3")
    shutil.copy(tmp_path / "other" / record.METRICS, cut / record.METRICS)
    with pytest.warns(UserWarning, match="cannot be used"):
        refused(cut, "metrics.jsonl is not the one that it was written with.*start a new run")


def poison(state):
    state["engine"]["point"]["theta"][3] = torch.nan


def shorten(state):
    state["engine"]["point"]["theta"] = state["engine"]["point"]["theta"][:-1]


def lower(state):
    state["engine"]["point"]["value"] *= 0.5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (poison, "parameters are not finite"),
        (shorten, r"parameters are torch.float64 \(9,\)"),
        (lower, "loss is not that of its parameters"),
        (dict.clear, "none of ours"),
        (lambda state: state.pop("engine"), "none of ours"),
        (lambda state: state.update(engine=[1]), "none of ours"),
        (lambda state: state["tally"].update(more=1), "none of ours"),
        (lambda state: state.update(pieces=3), "none of ours"),
        (lambda state: state.update(pieces={"a": "b"}), "piece a is missing"),
        (lambda state: state.update(record=3), "none of ours"),
        (lambda state: state.update(settings=3), "none of ours"),
    ],
)
def test_a_checkpoint_that_is_none_falls_back_to_the_one_before(runs, cut, change, reason):
    changed(cut, change)
    mended(runs, cut, f"00000012.pt cannot be used .*{reason}")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state["engine"].pop("solvers"),
        lambda state: state["engine"].update(solvers=None),
        lambda state: state["engine"]["solvers"][1]["region"].pop("radius"),
        lambda state: state["engine"]["parts"].clear(),
        lambda state: state.pop("random"),
        lambda state: state["random"].update(numpy=[1, 2]),
        lambda state: state.pop("components"),
        lambda state: state["components"].update(task=7),
        lambda state: state.pop("best"),
    ],
)
def test_states_that_do_not_fit_are_one_sentence(runs, cut, change):
    changed(cut, change)
    done = resumed(cut)
    if done.exit_code == 0:  # nothing of it was needed
        assert timeless(cut) == timeless(runs / "whole")
    else:
        assert "does not fit this run" in done.stderr


def lines_of(cut):
    return (cut / record.METRICS).read_bytes().splitlines(keepends=True)


def put(cut, lines):
    (cut / record.METRICS).write_bytes(b"".join(lines))


def test_a_record_that_is_cut_short_is_computed_again_from_the_checkpoint_before(runs, cut):
    put(cut, [*lines_of(cut)[:-2], b'{"iteration": 11, "lo'])
    mended(runs, cut, "metrics.jsonl ends at line 12, before it")
    assert len(timeless(cut)) == 17


@pytest.mark.parametrize("kept", [0, 3, 8])
def test_a_record_without_the_lines_before_all_checkpoints_is_refused(cut, kept):
    put(cut, lines_of(cut)[:kept])
    with pytest.warns(UserWarning, match="cannot be used"):
        refused(cut, f"metrics.jsonl ends at line {kept}, before it")


def test_a_record_that_is_missing_is_refused(cut):
    (cut / record.METRICS).unlink()
    with pytest.warns(UserWarning, match="cannot be used"):
        refused(cut, "metrics.jsonl is missing")
    assert not (cut / record.METRICS).exists()


def test_lines_that_are_there_twice_are_taken_once(runs, cut):
    lines = lines_of(cut)
    put(cut, [*lines, *lines])  # what comes after the checkpoint is dropped
    mended(runs, cut)
    twice = [*lines[:4], lines[3], *lines[4:]]
    put(cut, twice)
    shutil.copy(runs / "cut" / "summary.json", cut)
    shutil.rmtree(cut / "checkpoints")
    shutil.copytree(runs / "cut" / "checkpoints", cut / "checkpoints")
    mended(runs, cut, "lines twice")


@pytest.mark.parametrize("line", [2, 10, 12])
def test_a_byte_of_the_record_that_is_none_of_text(runs, cut, line):
    lines = lines_of(cut)
    lines[line] = lines[line][:9] + b"\xff" + lines[line][10:]
    put(cut, lines)
    if line > 8:
        mended(runs, cut, "metrics.jsonl is not the one")
    else:
        with pytest.warns(UserWarning, match="cannot be used"):
            refused(cut, "metrics.jsonl is not the one")


def test_one_digit_that_was_changed_is_seen(runs, cut):
    text = (cut / record.METRICS).read_text().splitlines()
    text[2] = text[2].replace('"accepted": 2', '"accepted": 1')
    (cut / record.METRICS).write_text("\n".join(text) + "\n")
    with pytest.warns(UserWarning, match="cannot be used"):
        refused(cut, "metrics.jsonl is not the one")


@pytest.mark.parametrize("name", ["config.toml", "summary.json", "00000012.pt.sha256"])
def test_a_byte_of_any_other_file_that_is_none_of_text(runs, cut, name):
    path = next(cut.rglob(name))
    content = path.read_bytes()
    path.write_bytes(content[:9] + b"\xff" + content[10:])
    if name == "config.toml":
        refused(cut, "config.toml is no TOML file")
    else:
        mended(runs, cut, "checksum differs" if name.endswith("sha256") else None)


def test_what_is_half_written_is_removed(runs, cut):
    left = [".config.toml.77.tmp", "checkpoints/.00000016.draft.77.tmp"]
    left += ["checkpoints/00000016.draft", "checkpoints/00000016.pt.sha256"]
    for name in left:
        (cut / name).write_text("half")
    (cut / "checkpoints" / "00000014").mkdir()
    (cut / "checkpoints" / "00000014" / "subdomain-0000.pt").write_text("half")
    (cut / "checkpoints" / "mine.pt").write_text("not of a run")
    done = invoke("resume", cut)  # nothing is left to do
    assert done.exit_code == 0, done.output
    there = {path.name for path in (cut / "checkpoints").iterdir()}
    assert there == {f"{i:08d}.pt{seal}" for i in (8, 12) for seal in ("", ".sha256")} | {"mine.pt"}
    assert not (cut / ".config.toml.77.tmp").exists()


def test_no_checkpoint_at_all_is_one_word(tmp_path):
    file, out = write_run_file(tmp_path), tmp_path / "out"
    done = invoke("run", file, "output.checkpoint_every=none", "--out", out)
    assert done.exit_code == 0, done.output
    assert not (out / "checkpoints").exists()
    before = timeless(out)
    assert invoke("resume", out).exit_code == 0
    assert timeless(out) == before
    for other in ("never", "-1", "1.5"):
        done = invoke("show-config", file, f"output.checkpoint_every={other}")
        assert done.exit_code == 2
        assert "output.checkpoint_every" in done.output
    assert json.loads((out / "summary.json").read_text())["outer_iterations"] == 12


def test_a_record_is_on_the_disk_before_its_checkpoint(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(record.os, "fsync", lambda number: order.append("record"))
    monkeypatch.setattr(files.os, "fsync", lambda number: order.append("file"))
    monkeypatch.setattr(checkpoint, "save", lambda *_: order.append("checkpoint"))
    train(tmp_path, Folder(tmp_path / "out"), "stop.iterations=4")
    assert "checkpoint" in order


def test_a_run_that_dies_before_its_summary_has_its_best_point(tmp_path, monkeypatch):
    def die(*_):
        raise OSError("the machine is gone")

    monkeypatch.setattr("ddopt.run.record.write_summary", die)
    with pytest.raises(OSError, match="gone"):
        Folder(tmp_path).finish({"loss": 1.0}, {"theta": torch.zeros(2)})
    assert (tmp_path / "best.pt").exists()

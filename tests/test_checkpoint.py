"""Checkpoints and the record survive what happens to files."""

import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ddopt.executor import Serial
from ddopt.run import bundle, chance, checkpoint, execution, files, record, running, shards
from ddopt.run.folder import Folder
from ddopt.run.running import Run
from ddopt.run.tally import Tally
from ddopt.setup.config import Output, load
from ddopt.testing.ranks import run_ranks
from tests.runs import RUN_FILE as BOWL_RUN
from tests.runs import write_run_file
from tests.test_variants import RELAY, RUN_FILE


def state(number):
    return {"number": number, "theta": torch.arange(5.0) + number, "solvers": {0: {"radius": 0.1}}}


def test_a_checkpoint_reads_back_and_two_are_kept(tmp_path):
    for number in (10, 20, 30):
        checkpoint.save(tmp_path, number, state(number))
    there = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert there == ["00000020.pt", "00000020.pt.sha256", "00000030.pt", "00000030.pt.sha256"]
    loaded = checkpoint.load(tmp_path)
    assert loaded["number"] == 30
    assert torch.equal(loaded["theta"], state(30)["theta"])
    assert loaded["solvers"] == {0: {"radius": 0.1}}


@pytest.mark.parametrize("damage", ["flip", "cut", "unseal"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    checkpoint.save(tmp_path, 10, state(10))
    newest = checkpoint.save(tmp_path, 20, state(20))
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    elif damage == "cut":
        newest.write_bytes(content[:100])
    else:
        newest.with_name(newest.name + ".sha256").unlink()
    with pytest.warns(UserWarning, match=r"00000020.pt cannot be used \(its checksum"):
        assert checkpoint.load(tmp_path)["number"] == 10


@pytest.mark.parametrize(
    ("given", "iterations", "newest", "saved", "due"),
    [
        (None, 50, 90.0, 5.0, True),
        (None, 50, 90.0, 6.0, False),  # more than a twentieth of 100 s went into checkpoints
        (None, 49, 90.0, 0.0, False),
        (None, 2, 40.0, 5.0, True),  # a minute ago: iterations are long
        (None, 2, 41.0, 5.0, False),
        (None, 2, 40.0, 6.0, False),
        (7, 49, 90.0, 9.0, True),  # what was asked for is done
        (7, 48, 0.0, 0.0, False),
        (0, 50, 0.0, 0.0, False),
    ],
)
def test_checkpoints_by_default_take_a_twentieth_of_the_time(given, iterations, newest, saved, due):
    output, tally = Output(checkpoint_every=given), Tally(iterations=iterations, seconds=100.0)
    config = SimpleNamespace(output=output)
    run = SimpleNamespace(config=config, tally=tally, _saved=saved, _newest=newest)
    assert Run._due_checkpoint(run) is due


@pytest.mark.parametrize("longest", [0.0, math.inf])
def test_where_iterations_take_long_each_leaves_a_checkpoint(tmp_path, monkeypatch, longest):
    monkeypatch.setattr(running, "LONGEST", longest)
    monkeypatch.setattr(running, "WRITING", math.inf)
    text = "\n".join(line for line in BOWL_RUN.splitlines() if "checkpoint_every" not in line)
    config = load(write_run_file(tmp_path, text), ["stop.iterations=3"])
    execution.execute(config, Folder(tmp_path / "out"))
    there = sorted(path.name for path in (tmp_path / "out/checkpoints").glob("*.pt"))
    assert there == ["00000002.pt", "00000003.pt"][longest > 0.0 :]  # the last one is the end's


def test_no_checkpoint_is_none_and_only_damaged_ones_are_an_error(tmp_path):
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, 10, state(10)).write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="cannot be used"),
        pytest.raises(ValueError, match=r"no checkpoint in .* can be used"),
    ):
        checkpoint.load(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    files.write_text(path, "old")

    def fail(stream):
        stream.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        files.write(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_random_state_returns(tmp_path):
    chance.seed(3)
    saved = {"random": chance.state()}
    checkpoint.save(tmp_path, 1, saved)

    def draw():
        return random.random(), np.random.rand(), torch.rand(3).tolist(), np.random.randn()

    first = draw()
    chance.restore(checkpoint.load(tmp_path)["random"])
    assert draw() == first


def test_the_record_is_strict_json_and_can_be_cut(tmp_path):
    written = record.Record(tmp_path)
    for iteration in range(5):
        written.write({"iteration": iteration, "ratio": -math.inf, "loss": 0.1})
        assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == iteration + 1
    written.close()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"iteration": 5, "lo')  # torn by a crash
    assert [line["iteration"] for line in record.read(tmp_path)] == [0, 1, 2, 3, 4]
    record.cut(tmp_path, 2)
    assert record.read(tmp_path)[-1] == {"iteration": 2, "ratio": None, "loss": 0.1}
    assert len(record.read(tmp_path)) == 3


def test_a_line_that_is_wrong_in_the_middle_is_an_error(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 0}\nnonsense\n{"iteration": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        record.read(tmp_path)


def test_the_summary_is_written_as_a_whole(tmp_path):
    record.write_summary(tmp_path, {"loss": math.nan, "evaluations": {"total": 3.0}})
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written == {"loss": None, "evaluations": {"total": 3.0}}


IN_PIECES = {
    "sapts_ip": ["strategy.subdomains=3"],
    "hybrid": ["strategy.cut=stages"],
    "trust_region": ["strategy.memory_pieces=4", "strategy.subdomains=3"],
    "sapts_p": ["strategy.memory_pieces=4", 'strategy.patterns=[["0.*"], ["2.*"], ["4.*"]]'],
    "sapts_d": [
        "strategy.memory_pieces=4",
        "strategy.subdomains=1",
        "strategy.global_iterations=1",
    ],
}


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("strategy", "after"),
    [
        ("sapts_ip", 1),
        ("sapts_ip", 3),
        ("hybrid", 1),
        ("hybrid", 4),
        ("hybrid", 2),
        ("trust_region", 4),
        ("sapts_p", 1),
        ("sapts_d", 3),
    ],
)
def test_pieces_are_saved_by_all_and_resumed_on_any_number_of_processes(strategy, after, tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text(RUN_FILE.format(relay=RELAY.as_posix()))
    changes = [f"strategy={strategy}", *IN_PIECES[strategy], "output.keep_best=true"]
    changes += ["output.checkpoint_every=2", "output.measure_every=1"]

    def train(executor, iterations, place, resume):
        config = load(file, (*changes, f"stop.iterations={iterations}"))
        folder = Folder(place)
        run = Run(config, executor, folder if executor.rank == 0 else None)
        state = bundle.load(folder.path, run) if resume else None
        if executor.rank == 0:
            folder.open(config, state["tally"]["iterations"] if state else -1)
        execution.finish(run, run.train(state))
        folder.close()

    train(Serial(), 6, tmp_path / "whole", False)
    run_ranks(train, 2, 4, tmp_path / "two", False)
    if after == 1:
        train(Serial(), 6, tmp_path / "two", True)
    else:
        run_ranks(train, after, 6, tmp_path / "two", True)
    apart = ("seconds", "processor_seconds", "bytes_sent", "collectives")
    whole, two = (
        [{k: v for k, v in line.items() if k not in apart} for line in record.read(place)]
        for place in (tmp_path / "whole", tmp_path / "two")
    )
    assert two == whole
    model = [checkpoint.load(tmp_path / place) for place in ("whole", "two")]
    thetas = [
        shards.parameters(tmp_path / place, state)
        for place, state in zip(("whole", "two"), model, strict=True)
    ]
    assert thetas[0].numel() == 113
    assert torch.equal(*thetas)
    best = [torch.load(tmp_path / place / "best.pt")["theta"] for place in ("whole", "two")]
    assert best[0].numel() == 113
    assert torch.equal(*best)
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert summary["parameters"] == 113
    damaged = sorted((tmp_path / "two" / "checkpoints" / "00000006").iterdir())[0]
    damaged.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"its piece (stage|memory)-0000.pt is missing or differs"):
        assert checkpoint.load(tmp_path / "two")["tally"]["iterations"] == 4

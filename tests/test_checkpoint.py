"""Checkpoints and the record survive what happens to files."""

import json
import math
import random

import numpy as np
import pytest
import torch

from ddopt.run import chance, checkpoint, files, record


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
    with pytest.warns(UserWarning, match=r"00000020.pt is damaged \(its checksum"):
        assert checkpoint.load(tmp_path)["number"] == 10


def test_no_checkpoint_is_none_and_only_damaged_ones_are_an_error(tmp_path):
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, 10, state(10)).write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(ValueError, match=r"all checkpoints .* are damaged"),
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

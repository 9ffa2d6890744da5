"""A plain run, ``--processes`` and torchrun are one thing."""

import subprocess
import sys
import time

import pytest

from ddopt.executor.launch import launch

pytestmark = pytest.mark.ranks


def written(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_plain_run_is_serial(tmp_path):
    subprocess.run([sys.executable, "-m", "tests.launched", str(tmp_path), "work"], check=True)
    assert written(tmp_path) == {"0": "serial 1 [10.0, 10.0, 10.0] 1"}


def test_launch_and_torchrun_start_the_same(tmp_path):
    arguments = [str(tmp_path), "work"]
    expected = {str(r): "distributed 2 [10.0, 10.0, 10.0] 1" for r in range(2)}
    launch(arguments, 2, module="tests.launched")
    assert written(tmp_path) == expected
    for path in tmp_path.iterdir():
        path.unlink()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*torchrun, "--nproc-per-node", "2", "-m", "tests.launched", *arguments]
    subprocess.run(command, check=True, capture_output=True)
    assert written(tmp_path) == expected


@pytest.mark.parametrize(("how", "ending"), [("kill", "signal 9"), ("raise", "exit code 1")])
def test_launch_names_the_rank_that_failed(tmp_path, how, ending):
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=f"rank 1 failed first, .*{ending}"):
        launch([str(tmp_path), how], 3, module="tests.launched")
    assert time.monotonic() - began < 60.0

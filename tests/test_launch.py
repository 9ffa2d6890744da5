"""A plain run, ``--processes`` and torchrun are one thing."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from ddopt.executor.launch import launch

pytestmark = pytest.mark.ranks


def until(attempt):
    """What ``attempt`` returns once it neither fails nor returns None."""
    deadline = time.monotonic() + 600.0
    while time.monotonic() < deadline:
        with contextlib.suppress(KeyError, ValueError):
            if (found := attempt()) is not None:
                return found
        time.sleep(0.1)
    raise TimeoutError


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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


def test_the_third_ctrl_c_leaves_no_process_behind(tmp_path):
    code = (
        "from ddopt.executor.launch import launch\n"
        f"launch([{str(tmp_path)!r}, 'hang'], 2, module='tests.launched')"
    )
    launcher = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    pids = [until(lambda r=r: int(written(tmp_path)[str(r)])) for r in range(2)]
    for _ in range(3):
        assert launcher.poll() is None
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.3)
    launcher.wait(timeout=600.0)
    for pid in pids:
        until(lambda pid=pid: not alive(pid) or None)


@pytest.mark.parametrize(("how", "ending"), [("kill", "signal 9"), ("raise", "exit code 1")])
def test_launch_names_the_rank_that_failed(tmp_path, how, ending):
    with pytest.raises(RuntimeError, match=f"rank 1 failed first, .*{ending}"):
        launch([str(tmp_path), how], 3, module="tests.launched")

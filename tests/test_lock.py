"""One run folder, one run: who may write, and what the dead leave behind."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.run.lock import NAME, Lock
from ddopt.setup.config import load
from tests.runs import ROOT, write_run_file
from tests.test_cli import invoke

HOLD = "import pathlib, sys; from ddopt.run.lock import Lock; Lock(pathlib.Path(sys.argv[1]))\n"
HOLD += "print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def holder(tmp_path):
    """Another process that has the lock of a folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    settings = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=settings, **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_folder_is_one_process_s_until_that_dies(tmp_path, holder):
    taken = rf"belongs to process {holder.pid} on .*: one folder holds one run"
    with pytest.raises(ValueError, match=taken):
        Lock(tmp_path)
    assert (tmp_path / NAME).exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert json.loads((tmp_path / NAME).read_text())["process"] == holder.pid
    lock = Lock(tmp_path)
    with pytest.raises(ValueError, match=f"belongs to process {os.getpid()} on"):
        Lock(tmp_path)
    lock.release()
    lock.release()
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("command", ["run", "resume", "two"])
def test_a_second_run_in_a_live_folder_is_refused(tmp_path, holder, command):
    file = write_run_file(tmp_path)
    before = None
    if command != "run":
        (tmp_path / "config.toml").write_text(file.read_text())
        before = (tmp_path / "config.toml").read_text()
    words = {
        "run": ["run", file, "--out", tmp_path],
        "resume": ["resume", tmp_path],
        "two": ["resume", tmp_path, "--processes", 2],
    }[command]
    done = invoke(*words)
    assert done.exit_code == 2
    assert f"process {holder.pid} on" in done.output
    assert not (tmp_path / "metrics.jsonl").exists()
    if before is not None:
        assert (tmp_path / "config.toml").read_text() == before


def test_a_lock_of_another_host_is_told_and_a_restarted_job_goes_on(tmp_path, monkeypatch):
    left = {"host": "elsewhere", "process": 7, "since": "yesterday", "job": "night"}
    (tmp_path / NAME).write_text(json.dumps(left))
    told = "process 7 on elsewhere, since yesterday.* if it does not, remove .*lock"
    for job in (None, "none", "day"):
        if job is not None:
            monkeypatch.setenv("TORCHELASTIC_RUN_ID", job)
        with pytest.raises(ValueError, match=told):
            Lock(tmp_path)
        assert json.loads((tmp_path / NAME).read_text()) == left
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night")
    Lock(tmp_path).release()


@pytest.mark.parametrize("content", [b"", b"\xff{", b"[" * 5000, b"[1]"])
def test_a_damaged_lock_is_nobody_s(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    Lock(tmp_path).release()


def test_a_run_gives_its_folder_free_however_it_ends(tmp_path):
    file = write_run_file(tmp_path)
    execute(load(file, ["stop.iterations=1"]), Folder(tmp_path / "out"))
    assert not (tmp_path / "out" / NAME).exists()
    with pytest.raises(ValueError, match="holds a run already"):
        execute(load(file), Folder(tmp_path / "out"))
    with pytest.raises(ValueError, match="cannot deal"):
        execute(load(file, ["strategy.subdomains=1000"]), Folder(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    Lock(tmp_path / "out").release()

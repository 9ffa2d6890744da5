"""Victims: ``ddopt`` in processes that are forked, so that none has to import torch anew."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path

LONGEST = 240.0  # seconds that a victim may take on a machine that is busy


class Victim:
    """One forked process, which writes into a log."""

    def __init__(self, work, log: Path) -> None:
        self.log, self.code = log, None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _become(work, log)

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait(self, longest: float = LONGEST) -> int:
        deadline = time.monotonic() + longest
        while not self.ended():
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"not done after {longest:g} s: {self.said()[-300:]}")
            time.sleep(0.01)
        return self.code

    def kill(self, number: int = signal.SIGKILL) -> None:
        if not self.ended():
            os.kill(self.pid, number)
        if number == signal.SIGKILL and not self.ended():
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _become(work, log: Path) -> None:
    """Do the work of a victim, and end."""
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in (1, 2):
            os.dup2(descriptor, number)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def command(words, before=None):
    """What a victim does: one ``ddopt`` command, ``before`` which it prepares itself."""

    def work() -> None:
        from ddopt.cli import main

        if before is not None:
            before()
        sys.argv = ["ddopt", *map(str, words)]
        main()

    return work


def start(words, log: Path, size: int = 1, before=None) -> list[Victim]:
    """A command in ``size`` processes that meet as those of a launcher do."""
    if size == 1:
        return [Victim(command(words, before), log)]
    port = free_port()
    victims = []
    for rank in range(size):

        def join(rank=rank) -> None:
            os.environ |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(size),
                "LOCAL_WORLD_SIZE": str(size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            if before is not None:
                before()

        victims.append(Victim(command(words, join), log.with_suffix(f".{rank}")))
    return victims


def finish(victims: list[Victim], longest: float = LONGEST) -> list[int]:
    """The exit codes of all; nobody is left behind."""
    try:
        return [victim.wait(longest) for victim in victims]
    finally:
        for victim in victims:
            victim.kill()


def done(words, log: Path, size: int = 1, before=None, longest: float = LONGEST) -> str:
    """What a command says that must succeed."""
    victims = start(words, log, size, before)
    codes = finish(victims, longest)
    said = "\n".join(victim.said() for victim in victims)
    assert codes == [0] * size, f"exit codes {codes}: {said[-700:]}"
    assert "Traceback" not in said, said[-700:]
    return said


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]

"""Kills at random moments, or between two accesses to files, in one, two and three processes."""

from __future__ import annotations

import os
import signal
import sys
import time

from tests.faults import variants
from tests.faults.processes import done, finish, start

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree", "os.truncate")


def attempt(random, place, references) -> None:
    """Kill a run up to three times; it ends with the bits of the one that was left alone."""
    variant = random.choice(list(variants.VARIANTS))
    out, choices = place / "out", variants.sizes(variant)
    words = ["run", variants.run_file(place), *variants.VARIANTS[variant], "--out", out]
    for number in range(random.choice([1, 1, 2, 3])):
        size, log = random.choice(choices), place / f"{number}.log"
        if random.random() < 0.5:
            count = int(random.uniform(1, 120))
            victims = start(words, log, size, lambda out=out, n=count: _die_at(out, n))
            finish(victims)
        else:
            victims = start(words, log, size)
            time.sleep(random.uniform(0.0, 0.8) * size)
            for victim in victims:
                victim.kill()
        if (out / "config.toml").exists():
            words = ["resume", out]
    done(words, place / "end.log", random.choice(choices))
    variants.compare(references / variant, out)


def _die_at(out, count: int) -> None:
    """Let this process kill itself at an access to a file of its run: the ``count``-th."""
    seen = [0]
    prefix = str(out)

    def watch(event: str, arguments: tuple) -> None:
        if event in EVENTS and arguments and str(arguments[0]).startswith(prefix):
            seen[0] += 1
            if seen[0] == count:
                group = os.getppid()
                _kill_others(group)
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _kill_others(parent: int) -> None:
    """A machine that dies takes all its processes along."""
    for path in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if path.isdigit() and int(path) != os.getpid():
            try:
                with open(f"/proc/{path}/stat") as stat:
                    own = int(stat.read().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if own == parent:
                os.kill(int(path), signal.SIGKILL)

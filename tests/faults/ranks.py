"""Ranks that die, fail, stop for good or for a while, are slow, or were given something else."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from tests.faults import variants
from tests.faults.processes import done, finish, start

WAYS = ("killed", "raised", "stopped", "paused", "slow", "signalled", "differs")


def attempt(random, place, references) -> None:
    """One rank of two or three has a fault in some iteration."""
    variant = random.choice(list(variants.VARIANTS))
    size = random.choice(variants.sizes(variant)[1:])
    way, rank = random.choice(WAYS), random.randrange(size)
    out, iteration = place / "out", random.randrange(1, variants.ITERATIONS - 1)
    words = ["run", variants.run_file(place), *variants.VARIANTS[variant], "--out", out]
    kind = random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])

    def before() -> None:
        if os.environ["RANK"] == str(rank):
            _plan(way, iteration, kind, random)

    victims = start(words, place / "log", size, before)
    told = f"{variant}, rank {rank} of {size} {way} in iteration {iteration}"
    others = [victim for victim in victims if victim is not victims[rank]]
    codes = finish(others) if way in ("killed", "raised", "stopped") else finish(victims)
    victims[rank].kill()
    said = [victim.said() for victim in others]
    _judge(way, rank, codes, said, told)
    if way in ("paused", "slow"):
        variants.compare(references / variant, out)
    elif way != "differs":
        done(["resume", out], place / "end", random.choice(variants.sizes(variant)))
        variants.compare(references / variant, out)


def _judge(way: str, rank: int, codes: list[int], said: list[str], told: str) -> None:
    tail = f"{told}: exit codes {codes}, {[one[-300:] for one in said]}"
    if way in ("paused", "slow"):
        assert set(codes) == {0}, tail
    elif way == "signalled":
        assert set(codes) == {130}, tail
    elif way == "differs":
        assert set(codes) <= {1, 2}, tail
        assert any(
            f"rank {rank} differs" in one or "rank 0 differs" in one or "differs" in one
            for one in said
        ), tail
    else:
        assert set(codes) == {1}, tail
        assert all(f"rank {rank}" in one for one in said), tail
    assert all("Traceback" not in one for one in said), tail


def _plan(way: str, iteration: int, kind: int, random) -> None:
    """What this process will do to itself."""
    from ddopt.method.engine import Engine
    from ddopt.setup import config as setup

    if way == "differs":
        plain = setup.load
        change = random.choice(["seed=1", "solver.hessian.memory=5", "dtype=float32"])
        setup.load = lambda file, changes=(), files=(): plain(file, (*changes, change), files)
        return
    step = Engine.step

    def faulty(engine, problem):
        if engine.iteration == iteration:
            _do(way, kind)
        return step(engine, problem)

    Engine.step = faulty


def _do(way: str, kind: int) -> None:
    if way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "raised":
        raise ValueError("bad luck")
    elif way == "signalled":
        os.kill(os.getpid(), kind)
    elif way == "slow":
        time.sleep(8.0)
    else:
        if way == "paused":
            subprocess.Popen(["sh", "-c", f"sleep 8; kill -CONT {os.getpid()}"])
        os.kill(os.getpid(), signal.SIGSTOP)

"""A disk that is full after so many bytes."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

from tests.faults import variants
from tests.faults.processes import done, finish, start


def attempt(random, place, references) -> None:
    """A run ends with a message, and goes on when there is room."""
    variant = random.choice(list(variants.VARIANTS))
    choices, out = variants.sizes(variant), place / "out"
    room = int(10 ** random.uniform(0.0, 6.0))
    words = ["run", variants.run_file(place), *variants.VARIANTS[variant], "--out", out]
    victims = start(words, place / "log", random.choice(choices), lambda: _limit(out, room))
    codes = finish(victims)
    said = victims[0].said()
    full = "No space left on device" in said
    assert codes[0] == (2 if full else 0), f"{variant}, {room} bytes: {codes}, {said[-500:]}"
    assert set(codes[1:]) <= {0, 1}, f"{variant}, {room} bytes: {codes}"
    assert "Traceback" not in said, said[-700:]
    left = [path.name for path in out.rglob("*.tmp")] if out.exists() else []
    assert not left, f"left behind: {left}"
    if (out / "config.toml").exists():
        words = ["resume", out]
    done(words, place / "end", random.choice(choices))
    variants.compare(references / variant, out)


def _limit(folder: Path, room: int) -> None:
    """Let this process write so many bytes into a folder."""
    left, plain = [room], Path.open

    class Full(io.FileIO):
        def write(self, data):
            if left[0] <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written = super().write(memoryview(data)[: left[0]])
            left[0] -= written
            return written

    def limited(path, mode="r", *arguments, **options):
        if not str(path).startswith(str(folder)) or "r" in mode:
            return plain(path, mode, *arguments, **options)
        return io.BufferedWriter(Full(path, mode.replace("b", "")))

    Path.open = limited

"""Checkpoints with a checksum that is right and a content that is none: nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import zipfile

import torch

from ddopt.run import checkpoint
from tests.faults.processes import finish, start


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, mark) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class Called(Payload):
    """The same by ``eval``."""

    def __reduce__(self):
        return eval, (f"__import__('os').mkdir({str(self.mark)!r})",)


def contents(random, mark, path) -> bytes:
    """The content of a file that somebody has made."""
    payload = random.choice([Payload, Called])(mark)
    stream = io.BytesIO()
    way = random.randrange(8)
    if way == 0:
        return pickle.dumps(payload, protocol=random.choice([0, 2, 4]))
    if way == 1:
        torch.save({"engine": payload, "tally": {}}, stream)
    elif way == 2:
        torch.save(payload, stream, _use_new_zipfile_serialization=False)
    elif way == 3:
        state = torch.load(path, weights_only=True)
        key = random.choice(list(state) if isinstance(state, dict) else [0])
        state = {**state, key: payload} if isinstance(state, dict) else [payload]
        torch.save(state, stream)
    elif way == 4:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(payload, protocol=2))
            archive.writestr("archive/version", "3\n")
    elif way == 5:
        torch.save({"engine": [[]] * random.randrange(100), "tally": None}, stream)
    elif way == 6:
        return b"(" * random.randrange(1, 100_000) + b"."
    else:
        return random.randbytes(random.randrange(1, 2000))
    return stream.getvalue()


def attempt(random, place, references) -> None:
    """Put such a file in the place of a checkpoint, or of a piece of one, and seal it."""
    base = random.choice(["sapts_d", "sapts_ip"])
    out, mark = place / "out", place / "harmed"
    shutil.copytree(references / base, out)
    for path in random.sample(sorted((out / checkpoint.FOLDER).rglob("*.pt")), 2):
        path.write_bytes(contents(random, mark, path))
        seal = path.with_name(f"{path.name}.sha256")
        if seal.exists():
            seal.write_text(checkpoint.digest(path))
    victims = start(["resume", out, "stop.iterations=13"], place / "log")
    (code,) = finish(victims)
    said = victims[0].said()
    assert not mark.exists(), "what was in a checkpoint has been run"
    assert code in (0, 2), f"exit code {code}: {said[-700:]}"
    assert "Traceback" not in said, said[-700:]
    assert code == 2 or (out / "summary.json").exists()

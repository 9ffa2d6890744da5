"""Bits that flip, and pieces that are lost, at every region of every file of a run."""

from __future__ import annotations

import shutil

from ddopt.run import record
from tests.faults import variants
from tests.faults.processes import finish, start

WAYS = ("flip", "cut", "zeros", "insert", "remove", "double", "byte", "empty", "gone")
MORE = "stop.iterations=16"
BASES = ("sapts_d", "trust_region on batches", "trust_region in pieces", "sapts_ip")


def prepare(place) -> None:
    """What the runs give that go on after the fault."""
    from ddopt.run.execution import execute
    from ddopt.run.folder import Folder
    from ddopt.setup.config import load

    for base in BASES:
        folder = place / f"{base}, longer"
        if not (folder / record.SUMMARY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            execute(
                load(variants.run_file(place), [*variants.VARIANTS[base], MORE]), Folder(folder)
            )


def attempt(random, place, references) -> None:
    """Damage one or two files; resuming gives the undisturbed bits, or one sentence."""
    base = random.choice(BASES)
    out = place / "out"
    shutil.copytree(references / base, out)
    names = sorted(path for path in out.rglob("*") if path.is_file())
    kinds = sorted({path.suffix + path.parent.name[:4] for path in names})
    harmed = []
    for _ in range(random.choice([1, 1, 1, 2])):
        kind = random.choice(kinds)
        path = random.choice([one for one in names if one.suffix + one.parent.name[:4] == kind])
        if path.exists():
            way = random.choice(WAYS)
            harmed.append(f"{way} of {path.relative_to(out)}")
            harm(random, path, way)
    victims = start(["resume", out, MORE], place / "log")
    (code,) = finish(victims)
    said = f"{'; '.join(harmed)}: {victims[0].said()[-700:]}"
    assert code in (0, 2), f"exit code {code} after {said}"
    assert "Traceback" not in said, said
    if code == 0:
        loose = any("config.toml" in one for one in harmed)
        try:
            (_same_numbers if loose else variants.compare)(references / f"{base}, longer", out)
        except AssertionError as error:
            raise AssertionError(f"{error} after {said}") from None


def _same_numbers(reference, out) -> None:
    """The iterations have the same numbers; when it ends, and what is measured, may be others."""
    wanted, found = record.read(reference), record.read(out)
    for one, other in zip(wanted, found, strict=False):
        for key in ("iteration", "loss", "ratio", "radius", "accepted", "evaluations"):
            assert one[key] == other[key], f"{key} of iteration {one['iteration']} differs"


def harm(random, path, way: str) -> None:
    """Damage a file in one way, at a random place."""
    if way == "gone":
        path.unlink()
        return
    content = bytearray(path.read_bytes())
    where = random.randrange(len(content) + 1) if content else 0
    length = random.choice([1, 1, 7, 64, 1024])
    end = min(len(content), where + length)
    if way == "flip" and content:
        content[where % len(content)] ^= 1 << random.randrange(8)
    elif way == "cut":
        del content[where:]
    elif way == "zeros":
        content[where:end] = bytes(end - where)
    elif way == "insert":
        content[where:where] = random.randbytes(length)
    elif way == "remove":
        del content[where:end]
    elif way == "double":
        content += bytes(content)
    elif way == "byte" and content:
        content[where % len(content)] = random.choice([0xFF, 0x80, 0xC0, 0])
    elif way == "empty":
        content.clear()
    path.write_bytes(content)

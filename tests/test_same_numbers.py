"""Every strategy on a PINN and MNIST-FC, some on a GPT: torchrun or one process, one record."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ddopt.run import record
from ddopt.setup.plugins import manager

pytestmark = pytest.mark.ranks
ROOT = Path(__file__).parent.parent
PROBLEMS = {
    "poisson2d": """\
dtype = "float64"
[problem]
name = "poisson2d"
interior = 61
boundary = 15
width = 8
depth = 2
""",
    "mnist": """\
dtype = "float32"
[problem]
name = "mnist"
hidden = [16, 12]
train_samples = 121
test_samples = 50
""",
    "patches": """\
dtype = "float64"
[problem]
name = "patches"
of = "burgers"
along = [{ cells = 4 }, { cells = 2 }]
features = 9
""",
    "text": """\
dtype = "float32"
[problem]
name = "text"
file = "rhyme.txt"
layers = 2
heads = 2
width = 8
context = 8
""",
}
COMMON = """\
[solver.hessian]
memory = 4
[stop]
iterations = 4
[output]
figures = false
measure_every = 2
"""
OPTIONS = {  # N = 3 on two processes; whatever is not named here runs as it is registered
    **dict.fromkeys(
        ("apts", "napts", "sapts_d", "sapts_ip", "sapts_p", "trust_region"),
        ("strategy.subdomains=3",),
    ),
    "hybrid": (),  # 2 x 2
    "patches": ("solver.hessian=block_gauss_newton",),
    "schwarz": ("solver.hessian=schwarz", "strategy.subdomains=3"),
    "sapts_m": ("strategy.subdomains=4", "strategy.local_solver.batch=8"),
    "hybrid of stages": ("strategy.cut=stages",),
    "napts of stages": ("strategy.cut=stages", "strategy.subdomains=3"),
    "trust_region in pieces": ("strategy.subdomains=3", "strategy.memory_pieces=4"),
    "sapts": ('strategy.decomposition={name="data", subdomains=3, overlap=0.2}',),
}
NOT_FOR_ALL = "cannot say where its samples lie"
ON_PATCHES = {"patches", "schwarz"}  # strategies that need them
STRATEGIES = sorted({*manager().registry.names("strategy"), *OPTIONS} - ON_PATCHES)
SOME = {
    "patches": ("patches", "schwarz", "sapts_d"),
    "text": ("sapts_d", "sapts_ip", "sapts_m", "sapts_p"),
}  # the others add no other code there
CASES = [(p, strategy) for p in PROBLEMS for strategy in SOME.get(p, STRATEGIES)]
APART = {"seconds", "processor_seconds", "bytes_sent", "collectives"}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def write_images(root):
    """Scikit-learn's digits in MNIST's place, format and shape."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.kron(images.reshape(-1, 8, 8), np.ones((3, 3))) * (255 / 16)
    images = np.pad(images, [(0, 0), (2, 2), (2, 2)]).astype(np.uint8)
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, part in (("train", slice(0, 1000)), ("t10k", slice(1000, 1500))):
        chosen = images[part]
        head = struct.pack(">iiii", 2051, *chosen.shape)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(head + chosen.tobytes())
        head = struct.pack(">ii", 2049, len(chosen))
        names = labels[part].astype(np.uint8).tobytes()
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(head + names)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Where the runs lie, and what became of each: on one process, and on two."""
    place = tmp_path_factory.mktemp("same")
    write_images(place / "data")
    (place / "rhyme.txt").write_text("the quick brown fox jumps over the lazy dog.\n" * 30)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "DDOPT_DATA_ROOT": str(place / "data")}
    for name, text in PROBLEMS.items():
        text = text.replace("rhyme.txt", (place / "rhyme.txt").as_posix())
        (place / f"{name}.toml").write_text(text + COMMON)
    found = {}
    for world, launcher in ((1, ()), (2, TORCHRUN)):
        lines = [
            [
                "run",
                str(place / f"{problem}.toml"),
                f"strategy={strategy.partition(' ')[0]}",
                *OPTIONS.get(strategy, ()),
                f"--out={place / problem / strategy / str(world)}",
            ]
            for problem, strategy in CASES
        ]
        file = place / f"{world}.json"
        file.write_text(json.dumps(lines))
        done = subprocess.run(
            [sys.executable, *launcher, "-m", "tests.command_lines", str(file)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        (last,) = [line for line in done.stdout.splitlines() if line.startswith("[")]
        found[world] = dict(zip(CASES, json.loads(last), strict=True))
    return place, found


@pytest.mark.parametrize(("problem", "strategy"), CASES)
def test_torchrun_and_one_process_write_the_same_record(problem, strategy, outcomes):
    place, found = outcomes
    said = {world: ends[problem, strategy] for world, ends in found.items()}
    if NOT_FOR_ALL in said[1]:
        pytest.skip(said[1])
    assert said == {1: "ok", 2: "ok"}
    alone, together = (record.read(place / problem / strategy / str(world)) for world in (1, 2))
    assert [line["bytes_sent"] for line in alone] == [0] * 5
    assert together[-1]["bytes_sent"] > 0
    for line in alone + together:
        for key in APART:
            del line[key]
    assert together == alone
    assert alone[-1]["loss"] < alone[0]["loss"]

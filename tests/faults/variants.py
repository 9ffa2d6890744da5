"""The runs of the campaign: every strategy on a small network, and what they give undisturbed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from ddopt.run import checkpoint, record, shards
from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.setup.config import load
from tests.test_variants import APART, RELAY

ITERATIONS = 12
RUN_FILE = f"""\
problem = "relay"
plugins = ["{RELAY.as_posix()}"]
[stop]
iterations = {ITERATIONS}
[solver.hessian]
memory = 6
[output]
figures = false
checkpoint_every = 3
measure_every = 4
keep_best = true
"""
VARIANTS = {
    "trust_region": ["strategy=trust_region", "strategy.subdomains=4"],
    "trust_region in pieces": [
        "strategy=trust_region", "strategy.subdomains=4", "strategy.memory_pieces=4",
    ],
    "trust_region on batches": [
        "strategy=trust_region", "strategy.subdomains=4", "sampling={name='batches', size=19}",
    ],
    "sapts_d": ["strategy=sapts_d", "strategy.subdomains=4"],
    "sapts_d, coarse": [
        "strategy=sapts_d", "strategy.subdomains=4", "strategy.recombination=coarse",
    ],
    "apts": ["strategy=apts", "strategy.subdomains=4"],
    "sapts_p": ["strategy=sapts_p", "strategy.subdomains=3"],
    "napts": ["strategy=napts", "strategy.subdomains=3"],
    "napts of stages": ["strategy=napts", "strategy.subdomains=3", "strategy.cut=stages"],
    "sapts_m": ["strategy=sapts_m", "strategy.subdomains=3", "strategy.judged=0.2"],
    "sapts_ip": ["strategy=sapts_ip", "strategy.subdomains=3", "strategy.chunks=2"],
    "hybrid": ["strategy=hybrid"],
    "hybrid of stages": ["strategy=hybrid", "strategy.cut=stages", "strategy.overlap=0.2"],
}  # fmt: skip


def sizes(variant: str) -> list[int]:
    """Numbers of processes that a variant runs on."""
    return [1, 2] if "hybrid" in variant else [1, 2, 3]


def run_file(place: Path) -> Path:
    path = place / "relay.toml"
    path.write_text(RUN_FILE)
    return path


def prepare(place: Path) -> None:
    """Run every variant undisturbed, in this process, where that has not been done."""
    for variant, changes in VARIANTS.items():
        folder = place / variant
        if (folder / record.SUMMARY).exists():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        execute(load(run_file(place), changes), Folder(folder))


def result(folder: Path) -> tuple[str, list[float]]:
    """What must not depend on what has happened: the lines of the record, and the parameters."""
    lines = [{k: v for k, v in line.items() if k not in APART} for line in record.read(folder)]
    saved = checkpoint.load(folder)
    assert saved is not None, "there is no checkpoint"
    theta = shards.parameters(folder, saved)
    best = torch.load(folder / "best.pt", weights_only=True)["theta"]
    return json.dumps(lines), [*theta.tolist(), *best.tolist()]


def compare(reference: Path, folder: Path) -> None:
    """The bits of a run are those of the undisturbed one."""
    (lines, theta), (wanted, known) = result(folder), result(reference)
    assert lines == wanted, "the record differs from that of the undisturbed run"
    assert theta == known, "the parameters differ from those of the undisturbed run"
    left = [path.name for path in folder.rglob("*") if path.name.endswith((".tmp", ".draft"))]
    assert not left, f"left behind: {left}"
    assert not (folder / ".lock").exists(), "the lock is left behind"

"""Every strategy writes the same record on one process and on several."""

from pathlib import Path

import pytest

from ddopt.executor import Serial
from ddopt.run import record
from ddopt.run.folder import Folder
from ddopt.run.running import Run
from ddopt.setup.config import load
from ddopt.testing.ranks import gather_ranks, run_ranks

RELAY = Path(__file__).parent / "relay_plugin.py"
RUN_FILE = """\
problem = "relay"
plugins = ["{relay}"]
[stop]
iterations = 5
[solver.hessian]
memory = 6
"""
VARIANTS = {
    "sapts_d": ["strategy=sapts_d", "strategy.subdomains=4"],
    "sapts_d, overlap": ["strategy=sapts_d", "strategy.subdomains=4", "strategy.overlap=0.25"],
    "apts, no global pass": [
        "strategy=apts",
        "strategy.subdomains=4",
        "strategy.global_iterations=0",
    ],
    "sapts_d, coarse": [
        "strategy=sapts_d",
        "strategy.subdomains=4",
        "strategy.recombination=coarse",
    ],
    "sapts_p, coarse": [
        "strategy=sapts_p",
        "strategy.subdomains=3",
        "strategy.recombination=coarse",
    ],
    "napts": ["strategy=napts", "strategy.subdomains=3"],
    "napts of stages": ["strategy=napts", "strategy.subdomains=3", "strategy.cut=stages"],
    "sapts_ip, exact": [
        "strategy=sapts_ip",
        "strategy.subdomains=3",
        "strategy.chunks=2",
        'solver={name="trust_region", hessian="exact", subproblem="steihaug"}',
    ],
    "sapts_p": ["strategy=sapts_p", "strategy.subdomains=3"],
    "sapts_m": ["strategy=sapts_m", "strategy.subdomains=3", "strategy.judged=0.2"],
    "sapts_ip": ["strategy=sapts_ip", "strategy.subdomains=3", "strategy.chunks=2"],
    "sapts_ip, boxes": [
        "strategy=sapts_ip",
        "strategy.subdomains=3",
        "strategy.norm=inf",
        'strategy.local_solver={name="trust_region", norm="inf", hessian="none", '
        'subproblem={name="cauchy", norm="inf"}}',
    ],
    "hybrid": ["strategy=hybrid"],
    "hybrid, coarse": ["strategy=hybrid", "strategy.recombination=coarse"],
    "hybrid of stages": ["strategy=hybrid", "strategy.cut=stages", "strategy.overlap=0.2"],
    "hybrid of stages, coarse": [
        "strategy=hybrid",
        "strategy.cut=stages",
        "strategy.recombination=coarse",
    ],
    "trust_region": ["strategy=trust_region", "strategy.subdomains=4"],
    "trust_region in pieces": [
        "strategy=trust_region",
        "strategy.subdomains=4",
        "strategy.memory_pieces=4",
    ],
    "sapts_p in pieces": [
        "strategy=sapts_p",
        "strategy.subdomains=3",
        "strategy.memory_pieces=4",
        'strategy.global_solver={name="lssr1", hessian="lbfgs"}',
    ],
    "one share": ["strategy=trust_region", "strategy.subdomains=1"],
}
APART = {"seconds", "processor_seconds", "bytes_sent", "collectives"}


def record_of(executor, file, changes, place):
    """The record of a run, which rank 0 writes."""
    config = load(file, tuple(changes))
    folder = Folder(place) if executor.rank == 0 else None
    run = Run(config, executor, folder)
    if folder is not None:
        folder.open(config, -1)
    run.train()
    if folder is None:
        return None
    folder.close()
    return record.read(place)


def lines(executor, file, changes, place):
    """The record without what depends on the number of processes."""
    whole = record_of(executor, file, changes, place) or []
    return [{k: v for k, v in line.items() if k not in APART} for line in whole]


@pytest.mark.ranks
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_record_does_not_depend_on_the_number_of_processes(variant, tmp_path):
    file = tmp_path / "relay.toml"
    file.write_text(RUN_FILE.format(relay=RELAY.as_posix()))
    changes = VARIANTS[variant]
    expected = lines(Serial(), file, changes, tmp_path / "1")
    assert len(expected) == 6
    assert expected[-1]["loss"] < expected[0]["loss"]
    sizes = (2, 3, 4) if "pieces" in variant else (2, 4) if "hybrid" in variant else (2, 3)
    for world_size in sizes:
        found = run_ranks(lines, world_size, file, changes, tmp_path / f"{world_size}")
        assert found[0] == expected


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("change", "named"),
    [("stop.iterations=6", "setting 'stop' of rank 1"), ("seed=1", "setting 'seed' of rank 1")],
)
def test_processes_with_other_settings_are_told_apart_before_the_first_step(
    change, named, tmp_path
):
    file = tmp_path / "relay.toml"
    file.write_text(RUN_FILE.format(relay=RELAY.as_posix()))

    def odd(executor):
        changes = [*VARIANTS["sapts_d"], *([change] if executor.rank == 1 else [])]
        record_of(executor, file, changes, tmp_path / "out")

    for outcome in gather_ranks(odd, 2):
        assert named in str(outcome)
    assert record.read(tmp_path / "out") == []

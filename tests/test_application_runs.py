"""Run files of images and texts: they are valid, and mini-batch runs resume with the same bits."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from ddopt.run import record
from ddopt.run.execution import execute
from ddopt.run.folder import Folder, load_again
from ddopt.run.stopping import StopReason
from ddopt.run.trained import trained
from ddopt.setup.config import load
from ddopt.setup.plugins import manager

ROOT = Path(__file__).parent.parent
EXAMPLES = [
    path
    for kind in ("images", "text", "thesis")
    for path in (ROOT / "examples" / kind).glob("*.toml")
    if path.stem != "poisson2d"  # needs another extra: tests/test_thesis.py
]

RUN_FILE = """\
dtype = "float32"

[problem]
name = "text"
file = "{text}"
layers = 1
heads = 2
width = 8
context = 16
dropout = 0.1

[sampling]
name = "batches"
size = 20
iterations = 2
growth = 2.0
patience = 2

[strategy]
name = "sapts_d"
subdomains = 2

[solver.hessian]
memory = 4

[stop]
iterations = 14

[output]
checkpoint_every = 1
measure_every = 4
"""


@pytest.fixture(autouse=True)
def _plugins():
    """Also where the installed metadata is older than the plugins."""
    for module in ("ddopt_vision", "ddopt_text"):
        if all(plugin.name != module for plugin in manager().plugins):
            manager().load_module(module)


@pytest.mark.parametrize("path", sorted(EXAMPLES), ids=lambda path: path.stem)
def test_examples_are_valid(path):
    config = load(path)
    assert config.problem.component.seam == "problem"
    assert config.stop.evaluations is not None


@pytest.fixture
def run_file(tmp_path):
    text = tmp_path / "rhyme.txt"
    text.write_text("the quick brown fox jumps over the lazy dog.\n" * 40, encoding="utf-8")
    path = tmp_path / "rhyme.toml"
    path.write_text(RUN_FILE.replace("{text}", text.as_posix()), encoding="utf-8")
    return path


def run(run_file, place, *changes, resume=False):
    config = load(run_file, changes)
    if resume:
        config = load_again(place, changes)
    reason = execute(config, Folder(place), resume=resume)
    lines = [{k: v for k, v in line.items() if "seconds" not in k} for line in record.read(place)]
    return reason, lines


@pytest.mark.parametrize("cut", [3, 6, 9])
def test_a_mini_batch_run_resumes_with_the_same_bits(run_file, tmp_path, cut):
    quiet = "output.figures=false"
    reason, whole = run(run_file, tmp_path / "whole", quiet)
    assert reason is StopReason.ITERATIONS
    part = tmp_path / "part"
    run(run_file, part, f"stop.iterations={cut}", quiet)
    _, resumed = run(run_file, part, "stop.iterations=14", resume=True)
    measured = {"validation_loss", "perplexity"}  # the cut measures at its end, and keeps it

    def unmeasured(lines):
        return [{k: v for k, v in line.items() if k not in measured} for line in lines]

    assert unmeasured(resumed) == unmeasured(whole)
    _, theta = trained(part)
    _, expected = trained(tmp_path / "whole")
    assert torch.equal(theta, expected)


def test_a_new_batch_is_paid_for(run_file, tmp_path):
    one_step = ("strategy.local_iterations=1", "strategy.recombination=mean")  # of a fixed cost
    changes = ("output.figures=false", "sampling.growth=1", *one_step)
    _, lines = run(run_file, tmp_path / "out", *changes)
    spent = [line["evaluations_total"] for line in lines]
    steps = [after - before for before, after in pairwise(spent)]
    fresh, again = steps[2::2], steps[1::2]
    assert min(fresh) > 0.0
    assert sum(fresh) / len(fresh) > sum(again) / len(again)


def test_a_trained_model_writes(run_file, tmp_path):
    run(run_file, tmp_path / "out", "stop.iterations=2", "output.figures=false")
    task, theta = trained(tmp_path / "out")
    assert task.generate(theta, "the", 10).startswith("the")
    with pytest.raises(ValueError, match="holds no run"):
        trained(tmp_path)

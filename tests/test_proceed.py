"""A task that is a sequence of problems: the run goes on with the next where one has ended."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ddopt.cli import cli
from ddopt.run.trained import trained
from ddopt.testing import check_task
from tests.ladder_plugin import Ladder

PLUGIN = Path(__file__).parent / "ladder_plugin.py"
RUN = """
problem = "ladder"
plugins = ["{plugin}"]

[strategy]
name = "trust_region"

[solver.hessian]
memory = 4

[stop]
iterations = {iterations}
loss = 1e-20

[output]
measure_every = 1
checkpoint_every = 1
"""


def run(folder, name, iterations, *more):
    file = folder / f"{name}.toml"
    file.write_text(RUN.format(plugin=PLUGIN.as_posix(), iterations=iterations))
    result = CliRunner().invoke(cli, ["run", str(file), "--out", str(folder / name), *more])
    assert result.exit_code == 0, result.output
    return folder / name


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_solves_all_problems_and_then_ends(tmp_path):
    folder = run(tmp_path, "whole", 200)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["stop_reason"] == "loss"
    assert summary["error"] < 1e-8
    assert [line["rung"] for line in lines(folder)] == sorted(
        line["rung"] for line in lines(folder)
    )
    assert lines(folder)[-1]["rung"] == 2
    assert summary["parameters"] == 5
    task, theta = trained(folder)
    assert theta.shape == (5,)
    assert task.measure(theta)["error"] == summary["error"]


def test_limits_of_the_run_hold_for_all_problems_together(tmp_path):
    whole = lines(run(tmp_path, "whole", 200))
    first = sum(line["rung"] == 0 for line in whole) - 1  # iterations of the first problem
    folder = run(tmp_path, "part", first)
    assert json.loads((folder / "summary.json").read_text())["stop_reason"] == "iterations"
    assert len(lines(folder)) == first + 1


@pytest.mark.parametrize("after", [0, 1])
def test_a_run_that_resumes_between_problems_has_the_same_numbers(tmp_path, after):
    whole = lines(run(tmp_path, "whole", 200))
    first = sum(line["rung"] == 0 for line in whole) - 1
    part = run(tmp_path, "part", first + after)
    result = CliRunner().invoke(
        cli, ["run", str(tmp_path / "part.toml"), "stop.iterations=200", "--resume", str(part)]
    )
    assert result.exit_code == 0, result.output
    pick = [(line["iteration"], line["loss"], line["error"]) for line in whole]
    assert [(line["iteration"], line["loss"], line["error"]) for line in lines(part)] == pick


def test_the_state_of_a_sequence_is_checked():
    check_task(Ladder())

    class Forgetful(Ladder):
        name = "forgetful"

        def state_dict(self):
            return {"rung": 0}

    with pytest.raises(AssertionError, match="state_dict"):
        check_task(Forgetful())

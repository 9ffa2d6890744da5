"""Run files: a problem on patches, its figure, resuming, and what does not fit."""

import json

import pytest
import torch
from click.testing import CliRunner

from ddopt.cli import cli
from ddopt.task import Setting
from ddopt.testing import check_task
from ddopt_patches.along import Along
from ddopt_patches.task import PatchTask

SMALL = """
[problem]
name = "patches"
of = {of}
along = [{{ cells = 4 }}, {{ cells = 3 }}]
features = 20

[strategy]
name = "patches"

[stop]
iterations = {iterations}

[output]
measure_every = 1
checkpoint_every = 1
"""


def run(tmp_path, folder, iterations, *more, of='"multiscale"'):
    file = tmp_path / f"{folder}.toml"
    file.write_text(SMALL.format(of=of, iterations=iterations))
    place = str(tmp_path / folder)
    result = CliRunner().invoke(cli, ["run", str(file), "--out", place, *more])
    assert result.exit_code == 0, result.output
    return tmp_path / folder


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_solves_and_draws(tmp_path):
    folder = run(tmp_path, "one", 5, of='{ name = "multiscale", frequencies = [1.0] }')
    assert (folder / "figure.png").exists()
    assert lines(folder)[-1]["error"] < 1e-3
    assert json.loads((folder / "summary.json").read_text())["stop_reason"] == "stationary"


def test_a_resumed_run_has_the_same_numbers(tmp_path):
    whole = run(tmp_path, "whole", 5, of='"burgers"')
    part = run(tmp_path, "part", 2, of='"burgers"')
    more = ["stop.iterations=5", "output.figures=false", "--resume", str(part)]
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "part.toml"), *more])
    assert result.exit_code == 0, result.output
    pick = [(line["loss"], line.get("error")) for line in lines(whole)]
    assert [(line["loss"], line.get("error")) for line in lines(part)] == pick


def test_the_task_conforms():
    check_task(PatchTask(of="multiscale", along=[2, 2], features=5))


def test_the_initial_condition_is_the_start():
    task = PatchTask(of="burgers", along=[8, 2], features=40)
    task.prepare(Setting())
    x = task.grid.copy()
    start = task.predict(task.initial, x)
    x[:, 1] = 0.0
    assert abs(start - task.solution(x)).max() < 1e-2


def test_the_seed_decides_everything():
    first, same, other = (PatchTask(of="multiscale", along=[2, 2], features=5) for _ in range(3))
    for task, seed in ((first, 1), (same, 1), (other, 2)):
        task.prepare(Setting(seed=seed))
    theta = torch.ones_like(first.initial)
    value = first.problem.at(theta).value
    assert same.problem.at(theta).value == value
    assert other.problem.at(theta).value != value


def test_residuals_of_the_figure_are_those_of_the_rows():
    task = PatchTask(of="burgers", along=[4, 2], features=20)
    task.prepare(Setting())
    rows = task.problem.system.rows[0]
    theta = torch.randn_like(task.initial)
    wanted = rows.residuals(theta.view(task.problem.layout.shapes[0])) / rows.roots
    found = task.problem.equations_at(theta, rows.points.x.flatten(0, 1))
    assert torch.allclose(found.view(wanted.shape), wanted, rtol=1e-9, atol=1e-9)


def test_graded_nodes_are_small_where_they_shall_be():
    nodes = Along(cells=10, toward=0.0, strength=4.0).between(-1.0, 1.0)
    widths = nodes.diff()
    assert torch.allclose(nodes, -nodes.flip(0), atol=1e-15)
    assert float(widths.min()) == pytest.approx(float(widths[4]))
    assert float(widths[0]) > 5 * float(widths[4])
    aside = Along(cells=6, toward=2.0).between(0.0, 2.0)
    assert (float(aside[0]), float(aside[-1])) == (0.0, 2.0)
    assert float(aside.diff()[-1]) == pytest.approx(float(aside.diff().min()))


@pytest.mark.parametrize(
    ("options", "setting", "words"),
    [
        ({"of": "multiscale"}, Setting(dtype=torch.float32), "solved in float64"),
        ({"of": "multiscale", "along": [2]}, Setting(), "the nodes of 1 axes"),
    ],
)
def test_what_does_not_fit_is_told(options, setting, words):
    with pytest.raises(ValueError, match=words):
        PatchTask(**options).prepare(setting)


def test_a_problem_without_an_equation_is_told():
    with pytest.raises(ValueError, match="no problem with a differential equation"):
        PatchTask(of="antiderivative")

"""Refinement: which cells are split along which axis, and the runs that do it."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import ddopt_patches
from ddopt.cli import cli
from ddopt_patches.equation import Equation
from ddopt_patches.grid import Grid
from ddopt_patches.network import Patches
from ddopt_patches.refine import Refine, by_cell, finer, split, tails, validation
from ddopt_pinn.library import dde

SQUARE = ((0.0, 1.0), (0.0, 1.0))


def test_the_axis_along_which_u_varies_is_the_one_that_is_badly_resolved():
    grid = Grid.uniform(SQUARE, (3, 2))
    along_x = tails(grid, lambda x: torch.sin(30 * x[:, :1]) * x[:, 1:])
    assert along_x.shape == (6, 2)
    assert bool((along_x[:, 0] > 0.999).all())
    along_y = tails(grid, lambda x: torch.sin(30 * x[:, 1:]))
    assert bool((along_y[:, 1] > 0.999).all())
    both = tails(grid, lambda x: torch.sin(30 * x[:, :1] / 3) + torch.sin(30 * x[:, 1:] / 2))
    assert torch.allclose(both.sum(1), torch.ones(6).double())


def test_slices_with_most_residual_for_each_new_unknown_are_split():
    grid = Grid.uniform(SQUARE, (4, 2))
    residuals = torch.zeros(4, 2, dtype=torch.float64)
    residuals[1] = 1.0
    shares = torch.tensor([1.0, 0.0], dtype=torch.float64).expand(8, 2)
    nodes = split(grid, residuals.flatten(), shares, 0.9)
    assert nodes[0].tolist() == [0.0, 0.25, 0.375, 0.5, 0.75, 1.0]
    assert nodes[1].tolist() == [0.0, 0.5, 1.0]


def test_the_axis_with_the_larger_share_is_split_first():
    grid = Grid.uniform(SQUARE, (3, 3))
    residuals = torch.ones(9, dtype=torch.float64)
    shares = torch.tensor([0.2, 0.8], dtype=torch.float64).expand(9, 2)
    nodes = split(grid, residuals, shares, 0.7)
    assert [len(v) for v in nodes] == [4, 7]


def test_residuals_by_cell_are_an_integral():
    patches = Patches.random(Grid.uniform(SQUARE, (2, 2)), 4)
    equation = Equation(lambda x, u: 0 * u + x[:, :1], 2, 1, torch.rand(9, 2).double())
    rows = validation(patches, equation, lambda x: x[..., 1] < 0.5, 0)
    found = by_cell(rows, torch.zeros(9, 1, 4).double(), 4)
    assert found.tolist()[1::2] == [0.0, 0.0]
    assert float(found.sum()) == pytest.approx(0.5 / 3, rel=0.1)


def test_refinement_ends_at_its_goal_and_at_the_most_unknowns():
    patches = Patches.random(Grid.uniform(SQUARE, (2, 2)), 4)
    equation = Equation(lambda x, u: u - 1.0, 2, 1, torch.rand(9, 2).double())
    weights = torch.zeros(9, 1, 4).double()
    for options, expected in ((Refine(goal=2.0), None), (Refine(most=40), None), (Refine(), list)):
        nodes, mean = finer(patches, weights, equation, lambda x: x[..., 0] >= 0, options, 0)
        assert mean == pytest.approx(1.0)
        assert nodes is None if expected is None else isinstance(nodes, expected)


RUN = """
[problem]
name = "patches"
of = "diffusion_reaction"
along = [3, 4]
features = 25
slabs = 2
rows = 2.5
refine = {{ rounds = 2, most = 4000 }}

[strategy]
name = "patches"

[stop]
iterations = {iterations}

[output]
measure_every = 1
checkpoint_every = 1
figures = false
"""


def run(tmp_path, folder, iterations, *more):
    file = tmp_path / f"{folder}.toml"
    file.write_text(RUN.format(iterations=iterations))
    place = str(tmp_path / folder)
    result = CliRunner().invoke(cli, ["run", str(file), "--out", place, *more])
    assert result.exit_code == 0, result.output
    return tmp_path / folder


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_run_refines_by_itself_and_resumes_with_the_same_numbers(tmp_path):
    whole = run(tmp_path, "whole", 60)
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["stop_reason"] != "iterations"
    errors = [line["error"] for line in lines(whole)]
    assert errors[-1] < 0.1 * min(errors[:2])
    assert all(math.isfinite(line["validation_loss"]) for line in lines(whole))
    part = run(tmp_path, "part", 5)
    more = ["stop.iterations=60", "--resume", str(part)]
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "part.toml"), *more])
    assert result.exit_code == 0, result.output
    pick = [(line["loss"], line.get("error")) for line in lines(whole)]
    assert [(line["loss"], line.get("error")) for line in lines(part)] == pick


def test_a_deepxde_model_goes_on_with_smaller_cells():
    dde.config.set_default_float("float64")
    try:
        square = dde.geometry.Rectangle([0, 0], [1, 1])

        def poisson(x, u):
            f = 10 * math.pi**2 * torch.sin(math.pi * x[:, :1]) * torch.sin(3 * math.pi * x[:, 1:])
            return -sum(dde.grad.hessian(u, x, i=i, j=i) for i in (0, 1)) - f

        zero = dde.icbc.DirichletBC(square, lambda x: np.zeros((len(x), 1)), lambda _, on: on)
        net = ddopt_patches.fbpinn(square, along=[3, 3], features=36)
        x = np.random.default_rng(0).uniform(0, 1, (200, 2))
        exact = np.sin(np.pi * x[:, :1]) * np.sin(3 * np.pi * x[:, 1:])
        errors = []
        for _ in range(2):
            model = dde.Model(dde.data.PDE(square, poisson, zero, 20, 20), net)
            ddopt_patches.compile(model)
            before = model.predict(x)
            model.train(iterations=2, display_every=2)
            errors.append(abs(model.predict(x) - exact).max())
            net = ddopt_patches.refined(model)
        assert abs(before - exact).max() < 1e-2  # it has begun with the coarse solution
        assert errors[1] < 0.2 * errors[0]
        assert ddopt_patches.refined(model, goal=1e9) is None
        assert ddopt_patches.refined(model, most=100) is None
    finally:
        dde.config.set_default_float("float32")

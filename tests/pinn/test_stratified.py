"""Stratified resampling: every region gets its share of the points."""

import numpy as np
import pytest
import torch

from ddopt.run import record
from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.run.report import closing
from ddopt.setup.config import load
from ddopt.task import Status
from ddopt_pinn.resampling import Drawn, Known, density
from ddopt_pinn.stratified import Stratified, places, systematic
from tests.pinn.problems import prepared


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("count", [1, 7, 100])
def test_every_index_comes_as_often_as_its_share_to_within_one(count):
    weights = np.random.default_rng(1).exponential(size=40)
    for seed in range(20):
        found = np.bincount(systematic(weights, count, random(seed)), minlength=40)
        assert found.sum() == count
        assert (np.abs(found - count * weights / weights.sum()) < 1.0).all()


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_cell_of_the_domain_is_one_piece_of_the_curve(dimensions):
    points = np.random.default_rng(0).random((500, dimensions))
    points = np.vstack([points, np.zeros(dimensions), np.ones(dimensions)])
    order = np.argsort(places(points))
    cell = (points[order] >= 0.5) @ 2 ** np.arange(dimensions)
    assert (np.diff(cell) != 0).sum() == 2**dimensions - 1
    assert (np.diff(cell) >= 0).all()


def test_points_on_a_line_have_places_too():
    assert len(set(places(np.array([[0.0, 2.0], [1.0, 2.0], [3.0, 2.0]])))) == 3


def test_uniform_residuals_give_even_points():
    candidates = np.random.default_rng(0).random((6000, 2))
    known = Known(candidates[:1000], candidates, np.ones(6000), random())
    chosen = Stratified().choose(known, 1000)
    counts = np.histogram2d(*chosen.T, bins=4, range=[[0, 1], [0, 1]])[0]
    expected = np.histogram2d(*candidates.T, bins=4, range=[[0, 1], [0, 1]])[0] / 6.0
    assert np.abs(counts - expected).max() <= 1.0  # independent draws are off by some eight


def test_where_the_residual_is_large_there_are_more():
    candidates = np.random.default_rng(0).random((6000, 2))
    residuals = np.where(candidates[:, 0] < 0.1, 10.0, 0.0)
    chosen = Stratified().choose(Known(candidates, candidates, residuals, random()), 1000)
    weights = density(residuals, 1.0, 1.0)
    share = weights[candidates[:, 0] < 0.1].sum() / weights.sum()
    assert (chosen[:, 0] < 0.1).mean() == pytest.approx(share, abs=0.005)


def test_when_points_move_and_how_many_there_are():
    rule = Stratified(period=100, late_period=1000, late=1e-6, growth=2.0, stalled=4)
    early, late = Status(150.0, 1e-3, 0), Status(150.0, 1e-7, 0)
    few, many = Drawn(300, 300, 50.0), Drawn(600, 300, 50.0)
    assert rule.due(early, few)
    assert not rule.due(early, Drawn(300, 300, 60.0))
    assert not rule.due(late, many)
    assert rule.due(Status(1050.0, 1e-7, 0), many)
    assert rule.due(Status(60.0, 1e-3, 4), few)
    assert rule.count(early, few) == 300
    assert rule.count(late, few) == 600
    assert rule.count(early, many) == 600  # what has grown stays


def test_a_run_whose_points_have_grown_stays_late():
    rule = Stratified(period=100, late_period=1000, late=1e-6, growth=2.0)
    few, many = Drawn(300, 300, 50.0), Drawn(600, 300, 50.0)
    assert rule.due(Status(200.0, 1e-5), few)
    assert not rule.due(Status(200.0, 1e-5), many)  # new points have raised the loss
    assert rule.due(Status(1050.0, 1e-5), many)


def test_a_stalled_run_gets_new_points():
    task = prepared("burgers", interior=40, resampling={"name": "stratified", "stalled": 2})
    before = task.problem
    assert task.renew(task.initial, Status(10.0, 1.0, 1)) is None
    assert task.problem is before
    cost = task.renew(task.initial, Status(10.0, 1.0, 2))
    assert cost == pytest.approx(6 * 40 / len(before.samples))
    assert task.problem is not before
    twin = prepared("burgers", interior=40, resampling={"name": "stratified", "stalled": 2})
    twin.load_state_dict(task.state_dict())
    assert torch.equal(twin.problem.coordinates(0), task.problem.coordinates(0))


def test_a_run_shows_the_loss_at_fresh_points(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        "strategy = 'trust_region'\n"
        "problem = {name = 'burgers', interior = 12, width = 8, depth = 2}\n"
        "stop = {iterations = 150}\noutput = {figures = false}\n"
    )
    config = load(path)
    folder = Folder(tmp_path / "out")
    execute(config, folder)
    lines = record.read(folder.path)
    measured = [line["validation_loss"] for line in lines if "validation_loss" in line]
    assert len(measured) >= 2
    assert measured[-1] > 10.0 * lines[-1]["loss"]  # twelve points do not make a solution
    assert "times the loss" in closing(folder.path)

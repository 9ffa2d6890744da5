"""Resampled points: where they go, what they cost, and that nothing of the old f is believed."""

import numpy as np
import pytest
import torch

from ddopt.acceptance.window import Window
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts
from ddopt.run import record
from ddopt.run.execution import execute
from ddopt.run.folder import Folder, load_again
from ddopt.setup.config import load
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Status
from ddopt.testing.ranks import run_ranks
from ddopt_pinn.resampling import RAD, RAR, RARD, Drawn, Known, density, drawn
from tests.pinn.problems import prepared
from tests.test_variants import lines

RUN_FILE = """\
strategy = {name = "STRATEGY", subdomains = 2}
[problem]
name = "burgers"
interior = 40
boundary = 8
initial = 8
width = 6
depth = 2
resampling = {name = "rad", period = 6, candidates = 5}
[solver]
name = "trust_region"
acceptance = "window"
[solver.hessian]
memory = 4
[stop]
iterations = 12
[output]
figures = false
checkpoint_every = 1
"""


def written(folder, strategy="trust_region"):
    path = folder / "run.toml"
    path.write_text(RUN_FILE.replace("STRATEGY", strategy))
    return path


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def test_points_are_drawn_without_replacement_and_by_weight():
    residuals = np.array([0.0, 1.0, 3.0, 0.0])
    assert density(residuals, 1.0, 1.0) == pytest.approx([1.0, 2.0, 4.0, 1.0])
    assert density(np.zeros(3), 2.0, 0.0) == pytest.approx([1.0, 1.0, 1.0])
    assert drawn(density(residuals, 2.0, 0.0), 2, random()).tolist() == [1, 2]
    first = [int(drawn(residuals, 1, random(seed))[0]) for seed in range(400)]
    assert first.count(2) / len(first) == pytest.approx(0.75, abs=0.05)


def test_each_rule_does_what_it_says():
    points, candidates = np.zeros((10, 2)), np.arange(1.0, 101.0)[:, None] * np.ones(2)
    residuals = np.arange(100.0)
    known = Known(points, candidates, residuals, random())
    rad = RAD().choose(known, 10)
    assert rad.shape == points.shape
    assert (rad > 0.0).all()
    rar = RAR(added=0.3, most=1.5)
    worse = rar.choose(known, rar.count(Status(), Drawn(10, 10, 0.0)))
    assert worse[10:, 0].tolist() == [100.0, 99.0, 98.0]
    known = Known(worse, candidates, residuals, random())
    assert rar.count(Status(), Drawn(13, 10, 0.0)) == 15  # at most
    assert len(rar.choose(known, 15)) == 15
    assert rar.count(Status(), Drawn(15, 10, 0.0)) == 15
    known = Known(points, candidates, residuals, random())
    rard = RARD(added=0.3).choose(known, RARD(added=0.3).count(Status(), Drawn(10, 10, 0.0)))
    assert len(rard) == 13
    assert rard[10:].mean() > 50.0


def test_the_points_move_to_where_the_residual_is_large():
    sharp = {"name": "rad", "period": 100, "k": 4, "c": 0}
    task = prepared("burgers", interior=400, resampling=sharp)
    theta = task.initial
    assert task.renew(theta, Status(99.0)) is None
    before = task.problem
    cost = task.renew(theta, Status(100.0))
    assert cost == pytest.approx(4000 / len(before.samples))
    assert task.problem is not before
    assert task.problem.samples.counts == before.samples.counts

    def mean(problem):
        return float(problem.equations_at(theta, problem.coordinates(0)).abs().mean())

    assert mean(task.problem) > mean(before)
    assert task.renew(theta, Status(199.0)) is None
    twin = prepared("burgers", interior=400, resampling=sharp)
    twin.load_state_dict(task.state_dict())
    assert twin.problem.at(theta).value == task.problem.at(theta).value
    assert twin.renew(theta, Status(200.0)) == task.renew(theta, Status(200.0))
    assert torch.equal(twin.problem.coordinates(0), task.problem.coordinates(0))


@pytest.mark.parametrize("keep", [False, True])
def test_values_are_forgotten_and_curvature_if_it_is_stale(keep):
    task = prepared("burgers")
    solver = TrustRegion(acceptance=Window(length=5), hessian="lsr1")
    engine = Engine(Parts(None, GlobalPass(solver)), Serial())
    engine.start(task.problem, task.initial)
    for _ in range(4):
        engine.step(task.problem)
    before = solver.state_dict()
    assert before["region"]["acceptance"]["earlier"]
    (engine.renew if keep else engine.reset)()
    expected = TrustRegion(acceptance=Window(length=5), hessian="lsr1").state_dict()
    found = solver.state_dict()
    assert found["region"]["acceptance"] == expected["region"]["acceptance"]
    assert found["region"]["radius"] == before["region"]["radius"]
    if keep:
        assert str(found["hessian"]) == str(before["hessian"])
    else:
        assert found["hessian"] == expected["hessian"]


def test_every_change_is_paid_for_and_starts_from_the_new_loss(tmp_path):
    execute(load(written(tmp_path)), Folder(tmp_path / "out"))
    rows = record.read(tmp_path / "out")
    spent = np.diff([row["evaluations_total"] for row in rows])
    dear = 2.0 + 5 * 40 / (40 + 8 + 8)  # the step, f and g anew, the candidates
    assert spent.max() == pytest.approx(dear)
    assert sorted(set(spent.round(9))) == pytest.approx([1.0, dear])


@pytest.mark.parametrize("strategy", ["trust_region", "sapts_pinn"])
def test_a_resumed_run_has_the_same_bits(tmp_path, strategy):
    path = written(tmp_path, strategy)
    short = ["strategy.local_iterations=4"] if strategy == "sapts_pinn" else []
    execute(load(path, [*short, "stop.iterations=9"]), Folder(tmp_path / "whole"))
    execute(load(path, [*short, "stop.iterations=7"]), Folder(tmp_path / "part"))
    again = load_again(tmp_path / "part", ["stop.iterations=9"])
    execute(again, Folder(tmp_path / "part"), resume=True)

    def shown(place):
        rows = record.read(tmp_path / place)
        return [(row["loss"], row["evaluations"], row["radius"]) for row in rows]

    assert shown("part") == shown("whole")


@pytest.mark.ranks
def test_the_points_do_not_depend_on_the_number_of_processes(tmp_path):
    path = written(tmp_path, "sapts_pinn")
    changes = ["stop.iterations=4", "strategy.subdomains=4", "strategy.local_iterations=5"]
    expected = lines(Serial(), path, changes, tmp_path / "1")
    for world_size in (2, 4):
        found = run_ranks(lines, world_size, path, changes, tmp_path / f"{world_size}")
        assert found[0] == expected

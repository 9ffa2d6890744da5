"""Boxes of space and time: they partition the points, their losses add up, first order is exact."""

import json

import pytest
import torch

from ddopt.decomposition.boxes import Boxes, along_longest
from ddopt.evaluation.consistent import Consistent
from ddopt.executor import Serial, Split
from ddopt.method.engine import Engine
from ddopt.numerics.vectors import norm
from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.setup.config import load
from ddopt.solver.trust_region import TrustRegion
from ddopt.testing import check_decomposition
from ddopt.testing.ranks import run_ranks
from ddopt_sapts.boxes import SaptsPINN
from tests.pinn.problems import prepared

PROBLEMS = ["poisson1d", "burgers", "poisson3d", "diffusion_inverse", "allen_cahn"]
CUTS = [{"cut": "count"}, {"cut": "width"}]


def placed(problem, subdomain):
    """Where the points of a subdomain lie, all terms."""
    terms = enumerate(subdomain.samples.terms)
    return torch.cat([problem.coordinates(t)[index] for t, index in terms])


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("options", CUTS, ids=str)
def test_without_overlap_the_weighted_parts_are_the_loss(name, options):
    task = prepared(name)
    problem, theta = task.problem, task.initial
    subdomains = Boxes(subdomains=4, **options).split(problem)
    assert sum(d.weight for d in subdomains) == pytest.approx(1.0, rel=1e-14)
    assert sum(len(d.samples) for d in subdomains) == len(problem.samples)
    point = problem.at(theta)
    locals_ = [d.objective(problem, point).at(theta) for d in subdomains]
    weights = [d.weight for d in subdomains]
    value = sum(w * p.value for w, p in zip(weights, locals_, strict=True))
    gradient = sum(w * p.gradient for w, p in zip(weights, locals_, strict=True))
    assert value == pytest.approx(point.value, rel=1e-13)
    assert norm(gradient - point.gradient) <= 1e-12 * norm(point.gradient)


@pytest.mark.parametrize("name", ["burgers", "poisson3d"])
def test_residuals_and_jacobian_of_a_box_give_its_loss(name):
    task = prepared(name)
    problem, theta = task.problem, task.initial
    point = problem.at(theta)
    for subdomain in Boxes(subdomains=3, overlap=0.3).split(problem):
        local = subdomain.objective(problem, point)
        found, r, J = local.at(theta), local.residuals(theta).detach(), local.jacobian(theta)
        assert float(r @ r) == pytest.approx(found.value, rel=1e-13)
        assert norm(2.0 * (r @ J) - found.gradient) <= 1e-12 * norm(found.gradient)
        consistent = Consistent(local, found, point.gradient).at(theta)
        assert norm(consistent.gradient - point.gradient) <= 1e-13 * norm(point.gradient)


@pytest.mark.parametrize("options", [*CUTS, {"overlap": 0.25}, {"splits": [1, 3]}], ids=str)
def test_boxes_conform(options):
    check_decomposition(Boxes(**options), prepared("burgers").problem)


def test_points_lie_in_their_box_and_its_margin():
    problem = prepared("poisson2d", interior=200).problem
    narrow = Boxes(splits=[2, 2])
    wide = Boxes(splits=[2, 2], overlap=0.2)
    found, x = narrow.regions(problem)
    assert torch.equal(torch.cat([box.points for box in found]).sort().values, torch.arange(len(x)))
    for box, subdomain, larger in zip(
        found, narrow.split(problem), wide.split(problem), strict=True
    ):
        own, more = placed(problem, subdomain), placed(problem, larger)
        assert bool(((own >= box.lower) & (own <= box.upper)).all())
        margin = 0.2 * (box.upper - box.lower)
        assert bool(((more >= box.lower - margin) & (more <= box.upper + margin)).all())
        near = ((x >= box.lower - margin) & (x <= box.upper + margin)).all(1)
        assert len(more) == int(near.sum()) > len(own)
    counts = [len(d.samples) for d in narrow.split(problem)]
    assert max(counts) - min(counts) <= 4


def test_a_box_may_have_no_boundary_points():
    problem = prepared("poisson2d", interior=300).problem
    subdomains = Boxes(splits=[3, 3], cut="width").split(problem)
    middle = subdomains[4]
    assert middle.samples.counts[1] == 0 < middle.samples.counts[0]


def test_the_longest_axes_are_cut_first():
    assert along_longest([2.0, 0.99], 2) == [2, 1]
    assert along_longest([1.0, 1.0], 4) == [2, 2]
    assert along_longest([1.0, 10.0], 6) == [1, 6]
    assert along_longest([1.0, 1.0, 1.0], 12) == [3, 2, 2]


def test_what_cannot_be_cut_is_said():
    problem = prepared("burgers").problem
    with pytest.raises(ValueError, match=r"no point lies in box .* use fewer boxes"):
        Boxes(subdomains=64, cut="width").split(problem)
    with pytest.raises(ValueError, match="the points have 2 coordinates"):
        Boxes(splits=[1, 1, 2]).split(problem)
    with pytest.raises(ValueError, match="makes 4 boxes, but subdomains = 3"):
        Boxes(splits=[2, 2], subdomains=3)
    assert SaptsPINN(splits=[3, 2]).subdomains == 6


def walk(executor, count):
    """Three outer iterations on a small Burgers problem: every bit of the last point."""
    task = prepared("burgers", interior=60)
    strategy = SaptsPINN(subdomains=count, local_iterations=4)
    problem = Split(task.problem, count, executor)
    engine = Engine(strategy.parts(TrustRegion.Config()), executor, count)
    engine.start(problem, task.initial)
    values = [engine.step(problem).loss for _ in range(3)]
    return values, engine.point.theta.view(torch.uint8).tolist()


@pytest.mark.ranks
def test_the_bits_do_not_depend_on_the_number_of_processes():
    expected = walk(Serial(), 4)
    assert expected[0][-1] < expected[0][0]
    for world_size in (2, 4):
        assert run_ranks(walk, world_size, 4) == [expected] * world_size


RUN_FILE = """\
strategy = {name = "sapts_pinn", splits = [2, 2]}
[problem]
name = "burgers"
interior = 40
width = 6
depth = 2
[solver.hessian]
memory = 4
[stop]
iterations = 2
"""


def test_a_run_cuts_space_and_draws_the_boxes(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(RUN_FILE)
    config = load(file)
    execute(config, Folder(tmp_path / "out"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["subdomains"] == 4
    assert (tmp_path / "out" / "subdomains.png").stat().st_size > 20_000
    assert load(file, ["strategy={name='sapts', decomposition={name='boxes', subdomains=6}}"])

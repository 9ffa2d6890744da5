"""Walks on micro-batches: every sample once, judged on samples set aside, exact after a resume."""

import math
import runpy

import pytest
import torch

from ddopt.evaluation.problem import Point
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.method.judging import set_aside
from ddopt.run.execution import execute
from ddopt.run.folder import Folder
from ddopt.run.running import setting
from ddopt.setup.component import lookup
from ddopt.setup.config import load
from ddopt.solver.micro import micro_batches
from ddopt.solver.spectral import orthogonal
from ddopt.solver.trust_region import TrustRegion
from ddopt_sapts.data import APTS
from ddopt_sapts.micro import SaptsM
from ddopt_sapts.trust_region import TrustRegion as Plain
from tests.runs import ROOT, write_run_file

WALKS = ["prodigy", "muon"]


def test_a_pass_sees_every_sample_once_in_an_order_of_its_own(small_regression):
    problem, _ = small_regression
    passes = []
    for number in (0, 1, 1):
        seen = [f.samples.terms[0] for f in micro_batches(problem, 5, number)]
        assert all(4 <= len(some) <= 5 for some in seen)
        assert torch.equal(torch.cat(seen).sort().values, problem.samples.terms[0])
        passes.append(torch.cat(seen))
    assert torch.equal(passes[1], passes[2])
    assert not torch.equal(passes[0], passes[1])


def test_the_judge_shares_no_sample_with_the_work(small_regression):
    problem, _ = small_regression
    judge, work = set_aside(problem, 0.2, 3)
    assert len(judge.samples) == 7
    both = torch.cat([judge.samples.terms[0], work.samples.terms[0]])
    assert torch.equal(both.sort().values, problem.samples.terms[0])
    again, _ = set_aside(problem, 0.2, 4)
    assert not torch.equal(again.samples.terms[0], judge.samples.terms[0])


def test_the_orthogonal_factor_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((6, 20), (20, 6)):
        made = orthogonal(torch.randn(shape, dtype=torch.float64))
        values = torch.linalg.svdvals(made)
        assert 0.6 < values.min() <= values.max() < 1.3
    assert torch.equal(orthogonal(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_that_got_lost_begins_again_at_its_mean(small_regression, walk):
    problem, theta = small_regression
    solver, start = lookup("solver", walk)(), problem.at(theta)
    solver.solve(problem, start, math.inf, 1)
    length = solver.radius
    solver.ahead = torch.full_like(theta, math.inf)  # f is nan there
    assert not solver.solve(problem, start, math.inf, 1).step.any()
    solver.judged(accepted=True)  # the step of nothing is as good as its start
    assert solver.radius == 0.5 * length
    assert solver.solve(problem, start, math.inf, 1).step.any()


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("strategy", [Plain(), APTS()])
def test_a_walk_that_nobody_judges_is_refused(walk, strategy):
    with pytest.raises(ValueError, match=rf"'{walk}' walks .* make it the local_solver"):
        strategy.parts(lookup("solver", walk).Config())


@pytest.mark.parametrize("solver", [*WALKS, "adam", "sgd", "trust_region_adam"])
def test_of_a_gradient_that_is_not_finite_nothing_is_learned(small_regression, solver):
    problem, theta = small_regression

    def cusp(named, samples):  # the value of f, and a gradient that is nan: sqrt at 0
        return (problem._sums(named, samples)[0] + (0.0 * named["0.bias"]).square().sqrt().sum(),)

    walker, bad = lookup("solver", solver)(), problem._but(_sums=cusp)
    walker.solve(problem, problem.at(theta), math.inf, 2)
    walker.solve(bad, bad.at(theta), math.inf, 2)
    walker.judged(accepted=False)
    found = walker.solve(problem, problem.at(theta), math.inf, 2)
    assert found.accepted > 0
    assert bool(found.step.isfinite().all())


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("subdomains", [1, 3])
def test_it_learns_and_resumes_with_the_same_bits(small_regression, walk, subdomains):
    problem, theta = small_regression

    def engine():
        strategy = SaptsM(
            subdomains=subdomains, judged=0.1, local_solver={"name": walk, "batch": 4}
        )
        return Engine(strategy.parts(TrustRegion.Config()), Serial(), subdomains)

    through, first = engine(), problem.at(theta).value
    through.start(problem, theta)
    for k in range(20):
        if k == 12:
            saved = through.state_dict()
            resumed = engine()
            resumed.prepare(problem.layout)
            resumed.load_state_dict(saved)
        report = through.step(problem)
        if k >= 12:
            other = resumed.step(problem)
            assert torch.equal(resumed.point.theta, through.point.theta)
            assert other == report
    assert problem.at(through.point.theta).value < first
    # 33 of the 37 samples are walked over, and 4 are looked at twice
    assert report.total == pytest.approx((33 + 2 * 4) / 37)


RUN_FILE = """\
problem = "bowl"
plugins = ["{bowl}"]

[strategy]
name = "sapts_m"
judged = 0.2
local_solver = { name = "prodigy", batch = 4 }

[stop]
iterations = 3
"""


@pytest.mark.parametrize("subdomains", [1, 2, 4])
def test_what_a_run_and_the_benchmark_count_is_what_a_hand_counts(tmp_path, subdomains):
    config = load(write_run_file(tmp_path, RUN_FILE), [f"strategy.subdomains={subdomains}"])
    folder = Folder(tmp_path / "out")
    execute(config, folder)
    # Of 60 samples 12 judge the start, and in every iteration both ends of walks over the other 48.
    total = [12 / 60 + k * (48 + 2 * 12) / 60 for k in range(4)]
    lines = folder.metrics()
    assert [line["evaluations_total"] for line in lines] == pytest.approx(total)
    path = [count / subdomains for count in total]  # each walks over its part, and judges by one
    assert [line["evaluations"] for line in lines] == pytest.approx(path)

    task = config.problem.build()
    task.prepare(setting(config))
    task.measure = lambda theta: {"accuracy": math.nan, "test_loss": math.nan}
    sampling = config.sampling.build()
    sampling.prepare(config.seed)
    parts = config.strategy.build().parts(config.solver)
    benchmark = runpy.run_path(str(ROOT / "examples/benchmarks/mnist.py"))["trust_region"]
    row = benchmark("", parts, subdomains, task, sampling, total[-1] - 0.1)
    assert (row.total, row.parallel) == pytest.approx((total[-1], path[-1]))
    assert row.synchronisations == 3


def test_samples_are_set_aside_for_walks_on_micro_batches_alone():
    for options in ({"local_solver": "trust_region"}, {"global_iterations": 1}):
        with pytest.raises(ValueError, match="samples set aside can only judge"):
            SaptsM(**options).parts(TrustRegion.Config())


@pytest.mark.parametrize("walk", WALKS)
def test_a_rejected_end_leaves_the_point_and_halves_the_steps(small_regression, walk):
    problem, theta = small_regression
    solver = lookup("solver", walk)(batch=4)
    start = Point(theta, math.nan, lambda: pytest.fail("nobody needs the whole gradient"))
    solver.solve(problem, start, math.inf, 1)
    length = solver.radius
    solver.judged(accepted=False)
    assert solver.radius == 0.5 * length
    assert solver.ahead is None

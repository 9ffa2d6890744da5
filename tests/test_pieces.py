"""The global solver in pieces: the numbers of the whole one, a share of its memory, few bytes."""

import pytest
import torch

from ddopt import SAPTS
from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts
from ddopt.solver.adam import Adam
from ddopt.solver.lssr1 import LSSR1
from ddopt.solver.pieces import Cut
from ddopt.solver.trust_region import TrustRegion
from ddopt.solver.trust_region_adam import TrustRegionAdam
from ddopt.testing.problems import network, regression, rotated_quadratic
from ddopt.testing.ranks import run_ranks
from ddopt_sapts.layers import SaptsP
from ddopt_sapts.stages import SaptsIP
from tests.test_pipeline import staged

SOLVERS = {
    "lsr1": TrustRegion.Config(hessian={"name": "lsr1", "memory": 5}),
    "lbfgs, dogleg": TrustRegion.Config(hessian="lbfgs", subproblem="dogleg"),
    "lsr1, steihaug": TrustRegion.Config(subproblem="steihaug"),
    "lssr1": LSSR1.Config(),
    "first order": TrustRegion.Config(
        norm="inf", hessian="none", subproblem={"name": "cauchy", "norm": "inf"}
    ),
    "additional samples": TrustRegion.Config(acceptance="asntr", hessian="lsr1"),
    "trust-region Adam": TrustRegionAdam.Config(),
    "adam": Adam.Config(),
}


def train(parts, problem, theta, executor=None, steps=8):
    engine = Engine(parts, executor or Serial())
    engine.start(problem, theta)
    return engine, [engine.step(problem) for _ in range(steps)]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_in_pieces_has_the_numbers_of_the_whole_one(solver):
    problem, theta = regression()
    if solver == "additional samples":
        problem.extra = problem.part(Samples((torch.arange(5),)))
    losses = []
    for pieces in (1, 3):
        parts = Parts(None, GlobalPass(SOLVERS[solver].build(), 1, pieces))
        engine, reports = train(parts, problem, theta)
        losses.append([report.loss for report in reports])
        assert engine.point.theta.shape == engine.point.gradient.shape == theta.shape
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)
    assert losses[1][-1] < problem.at(theta).value


def test_the_global_pass_learns_from_recombined_steps_in_pieces():
    problem, theta = regression()
    found = []
    for pieces in (1, 3):
        strategy = SaptsP(subdomains=2, memory_pieces=pieces)
        found.append(train(strategy.parts(SOLVERS["lsr1"]), problem, theta))
    (whole, expected), (cut, reports) = found
    assert [r.loss for r in reports] == pytest.approx([r.loss for r in expected], rel=1e-9)
    pairs = [engine.parts.global_pass.solver.state_dict()["hessian"] for engine in (whole, cut)]
    assert pairs[0]["count"] == pairs[1]["count"] == 5
    torch.testing.assert_close(pairs[1]["gram"], pairs[0]["gram"], rtol=1e-6, atol=1e-12)


@pytest.mark.ranks
@pytest.mark.parametrize("n", [1, 33, 113, 256])
def test_a_vector_is_cut_and_gathered(n):
    def there_and_back(executor):
        cut = Cut(n, 5, executor)
        return torch.equal(cut.gather(cut.take(vector)), vector), cut.geometry.norm(
            cut.take(vector)
        )

    vector = torch.randn(n, generator=torch.Generator().manual_seed(n), dtype=torch.float64)
    expected = there_and_back(Serial())
    assert expected == (True, pytest.approx(float(vector.norm())))
    assert run_ranks(there_and_back, 2) == [expected] * 2


@pytest.mark.ranks
def test_a_process_holds_its_share_of_the_memory():
    def held(executor):
        problem, theta = regression()
        parts = Parts(None, GlobalPass(SOLVERS["lsr1"].build(), 1, 4))
        engine, _ = train(parts, problem, theta, executor)
        state = engine.parts.global_pass.solver.state_dict()["hessian"]
        return state["count"], tuple(state["pairs"].shape)

    # 113 parameters are four pieces of 32, the last one with 15 zeros.
    assert run_ranks(held, 4) == [(5, (5, 2, 32))] * 4
    assert run_ranks(held, 3) == [(5, (5, 2, 64)), (5, (5, 2, 32)), (5, (5, 2, 32))]


@pytest.mark.ranks
@pytest.mark.parametrize("world_size", [2, 4])
def test_a_trial_costs_one_vector_and_numbers(world_size):
    def traffic(executor):
        problem = rotated_quadratic(n=256, condition=10.0)  # not shared out: evaluation is free
        theta = torch.ones(256, dtype=torch.float64)
        parts = Parts(None, GlobalPass(SOLVERS["first order"].build(), 1, 4))
        return train(parts, problem, theta, executor)[1]

    vector = 256 * 8 * (world_size - 1) // world_size
    for reports in run_ranks(traffic, world_size):
        assert {report.accepted for report in reports} == {True, False}
        for report in reports[1:]:
            numbers = 128 * (world_size - 1) * (report.collectives - 1)
            assert report.bytes_sent == vector + numbers


@pytest.mark.parametrize(
    ("hessian", "subproblem", "said"),
    [
        ("exact", "steihaug", "multiply with its Hessian; set memory_pieces = 1"),
        ("gauss_newton", "obs", "give its residuals; set memory_pieces = 1"),
        ("ssbroyden", "obs", "needs whole vectors"),
    ],
)
def test_what_pieces_cannot_give_is_said(hessian, subproblem, said):
    solver = TrustRegion(hessian=hessian, subproblem=subproblem)
    with pytest.raises(ValueError, match=said):
        train(Parts(None, GlobalPass(solver, 1, 2)), *regression())


def test_stages_have_their_memory_cut_already():
    problem = staged(Serial(), 3)
    parts = SaptsIP(subdomains=3, memory_pieces=3).parts(SOLVERS["lsr1"])
    with pytest.raises(ValueError, match=r"cut at the stages.*; set memory_pieces = 1"):
        train(parts, problem, problem.initial())


class Several(Serial):
    """One of three processes, as far as anybody asks."""

    size = 3


def test_fewer_pieces_than_processes_and_optimizers_are_refused():
    with pytest.raises(ValueError, match="3 processes cannot share a memory in 2 pieces"):
        Engine(Parts(None, GlobalPass(SOLVERS["lsr1"].build(), 1, 2)), Several())
    with pytest.raises(ValueError, match="made of whole tensors"):
        SAPTS(network().named_parameters(), memory_pieces=3, executor=Several())

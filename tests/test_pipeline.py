"""SAPTS_IP: stages on processes, the same numbers, and no communication in local iterations."""

from functools import partial

import pytest
import torch
from torch import nn

from ddopt.acceptance.monotone import Monotone
from ddopt.decomposition.stages import Stages
from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.hessian.lsr1 import LSR1
from ddopt.method.engine import Engine
from ddopt.method.parts import GlobalPass, Parts, Preconditioner
from ddopt.pipeline import StagedProblem, cut, cut_at
from ddopt.radius.stepwise import Stepwise
from ddopt.recombination.sum import Sum
from ddopt.solver.trust_region import TrustRegion
from ddopt.solver.trust_region_adam import TrustRegionAdam
from ddopt.subproblem.obs import OBS
from ddopt.testing.ranks import run_ranks

SAMPLES = 13
X = torch.linspace(-1.0, 1.0, 3 * SAMPLES, dtype=torch.float64).reshape(SAMPLES, 3).sin()
Y = X.cos().sum(dim=1, keepdim=True)


def network(width=5, depth=4):
    layers = [nn.Linear(3, width), nn.Tanh()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, 1))


def meta_network():
    with torch.device("meta"):
        return network()


def squares(output, i):
    return (output - Y[i]).square().sum()


def staged(executor, stages, chunks=1, dtype=torch.float64):
    return StagedProblem(
        cut(meta_network(), stages),
        lambda i: X[i].to(dtype),
        squares,
        Samples.all(SAMPLES),
        executor,
        chunks=chunks,
        dtype=dtype,
    )


def flat(problem, vector):
    """A vector without the padding at the end of each stage."""
    return torch.cat([piece.flatten() for piece in problem.named(vector).values()])


def plain_loss(theta):
    """The same network in one piece, differentiable."""
    model = network().double()
    named, start = {}, 0
    for name, p in model.named_parameters():
        named[name] = theta[start : start + p.numel()].view(p.shape)
        start += p.numel()
    return squares(torch.func.functional_call(model, named, X), slice(None)) / SAMPLES


@pytest.mark.parametrize("stages", [1, 2, 3, 4])
@pytest.mark.parametrize("chunks", [1, 3])
def test_value_and_gradient_are_those_of_the_network_in_one_piece(stages, chunks):
    problem = staged(Serial(), stages, chunks)
    theta = problem.initial()
    leaf = flat(problem, theta)
    whole = staged(Serial(), 1)
    assert torch.equal(leaf, flat(whole, whole.initial()))
    leaf.requires_grad_()
    loss = plain_loss(leaf)
    point = problem.at(theta)
    assert point.value == pytest.approx(float(loss.detach()), rel=1e-14)
    expected = torch.autograd.grad(loss, leaf)[0]
    torch.testing.assert_close(flat(problem, point.gradient), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_stage_objective_has_the_value_and_the_gradient_of_the_loss(dtype):
    problem = staged(Serial(), 3, 2, dtype)
    point = problem.at(problem.initial())
    g = point.gradient
    for subdomain in Stages().split(problem):
        local = subdomain.objective(problem, point)
        start = local.at(subdomain.restrict(point.theta))
        assert start.value == point.value
        assert torch.equal(start.gradient, subdomain.restrict(g))


def test_a_stage_objective_is_linear_in_its_output_and_the_last_one_is_the_loss():
    problem = staged(Serial(), 2)
    point = problem.at(problem.initial())
    point.gradient  # noqa: B018
    first, last = Stages().split(problem)
    step = 0.3 * torch.ones_like(point.theta)
    moved = last.restrict(point.theta + step)
    both = torch.cat([first.restrict(point.theta), moved])
    assert last.objective(problem, point).at(moved).value == problem.at(both).value
    moved = first.restrict(point.theta + step)
    output = problem._stages[0](moved, (X,))[0]
    ((c,),), ((a,),) = point.cotangents[0], point.outputs[0]
    expected = point.value + float(((output - a) * c).sum())
    assert first.objective(problem, point).at(moved).value == pytest.approx(expected)


@pytest.mark.parametrize("chunks", [1, 2])
def test_products_are_those_with_the_hessian_of_the_network_in_one_piece(chunks):
    problem = staged(Serial(), 3, chunks)
    theta = problem.initial()
    v = problem.initial(seed=1)
    expected = torch.autograd.functional.vhp(plain_loss, flat(problem, theta), flat(problem, v))[1]
    torch.testing.assert_close(flat(problem, problem.curvature(theta)(v)), expected)


def test_products_of_a_stage_are_those_of_its_objective():
    problem = staged(Serial(), 3, 2)
    point = problem.at(problem.initial())
    point.gradient  # noqa: B018
    for subdomain in Stages().split(problem):
        local = subdomain.objective(problem, point)
        theta = subdomain.restrict(point.theta)
        v, h = subdomain.restrict(problem.initial(seed=1)), 1e-6
        ahead, behind = (local.at(theta + e * v).gradient for e in (h, -h))
        found = local.curvature(theta)(v)
        torch.testing.assert_close(found, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-8)


def test_gauss_newton_over_stages_is_refused_with_its_reason():
    problem = staged(Serial(), 2)
    with pytest.raises(ValueError, match="cotangent of its output alone"):
        problem.residuals(problem.initial())


def region(**options):
    return TrustRegion.Config(
        hessian=LSR1(memory=4),
        subproblem=OBS(),
        acceptance=Monotone(),
        radius=Stepwise(),
        first_radius=0.3,
        **options,
    )


def train(executor, stages, *, adam=False, iterations=3, steps=5, chunks=2, reload_at=None):
    problem = staged(executor, stages, chunks)
    local = region()
    if adam:
        local = TrustRegionAdam.Config(acceptance=Monotone(), radius=Stepwise())

    def build():
        preconditioner = Preconditioner(
            decomposition=Stages(),
            solver=local,
            recombination=Sum(),
            acceptance=Monotone(),
            radius=Stepwise(),
            iterations=iterations,
        )
        made = Engine(Parts(preconditioner, GlobalPass(region().build())), executor)
        made.prepare(problem.layout, problem)
        return made

    running = build()
    running.start(problem, problem.initial())
    reports = []
    for k in range(steps):
        if k == reload_at:
            state = running.state_dict()
            running = build()
            running.load_state_dict(state)
        reports.append(running.step(problem))
    traffic = [report.bytes_sent for report in reports]
    numbers = repr([{**vars(r), "bytes_sent": 0, "collectives": 0} for r in reports])
    pieces = {d: problem.piece(running.point.theta, d).tolist() for d in problem._stages}
    return numbers, pieces, traffic, reports[-1].loss


@pytest.mark.ranks
@pytest.mark.parametrize("world_size", [2, 4])
@pytest.mark.parametrize("adam", [False, True])
def test_stages_on_processes_have_the_same_bits(world_size, adam):
    numbers, pieces, _, loss = train(Serial(), 4, adam=adam)
    assert loss < 0.5 * staged(Serial(), 4).at(staged(Serial(), 4).initial()).value
    for rank, found in enumerate(run_ranks(partial(train, adam=adam), world_size, 4)):
        assert found[0] == numbers
        assert found[1] == {d: pieces[d] for d in range(rank, 4, world_size)}


@pytest.mark.ranks
def test_local_iterations_send_nothing():
    def traffic(executor):
        return [train(executor, 4, iterations=k, steps=1)[2] for k in (1, 8)]

    for few, many in run_ranks(traffic, 2):
        assert few == many


@pytest.mark.ranks
def test_a_loaded_state_continues_with_the_same_bits():
    assert train(Serial(), 3, reload_at=2)[:2] == train(Serial(), 3)[:2]
    expected = run_ranks(train, 2, 3)
    found = run_ranks(partial(train, reload_at=2), 2, 3)
    assert [f[:2] for f in found] == [e[:2] for e in expected]


def test_one_stage_is_the_plain_trust_region():
    problem = staged(Serial(), 1)
    theta = problem.initial()
    parts = Preconditioner(Stages(), region(), Sum(), Monotone(), Stepwise(), iterations=1)
    cut_, plain = Engine(Parts(parts, None), Serial()), region().build()
    cut_.prepare(problem.layout, problem)
    cut_.start(problem, theta)
    point = problem.at(theta)
    for _ in range(5):
        cut_.step(problem)
        point = plain.solve(problem, point, float("inf"), 1).end
        assert torch.equal(cut_.point.theta, point.theta)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 6)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.last = nn.Linear(6, 1)

    def forward(self, x):
        h = torch.tanh(self.first(x))
        for block in self.blocks:
            h = h + torch.tanh(block(h))
        return self.last(h)


def test_any_module_is_cut_at_named_points():
    model = Residual().double()
    stages = cut_at(model, ["blocks.1", "last"], X[:2])
    problem = StagedProblem(
        stages, lambda i: X[i], squares, Samples.all(SAMPLES), dtype=torch.float64, chunks=2
    )
    theta = problem.initial()
    assert problem.count == 3
    assert problem.named(theta).keys() == dict(model.named_parameters()).keys()
    loss = squares(model(X), slice(None)) / SAMPLES
    point = problem.at(theta)
    assert point.value == pytest.approx(float(loss.detach()))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    torch.testing.assert_close(problem.named(point.gradient), gradients)


class Long(Residual):
    def forward(self, x):
        h = torch.tanh(self.first(x))
        far = h
        for block in self.blocks:
            h = torch.tanh(block(h))
        return self.last(h + far)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="cut 4 layers with parameters into 5 stages"):
        cut(network(), 5)
    with pytest.raises(ValueError, match="cut_at"):
        cut(Residual(), 2)
    with pytest.raises(ValueError, match="no submodule 'block'"):
        cut_at(Residual(), ["block"], X[:2])
    shared = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="cannot share parameters"):
        cut(nn.Sequential(shared, nn.Tanh(), shared), 2)
    with pytest.raises(ValueError, match="GroupNorm"):
        StagedProblem([nn.BatchNorm1d(3)], lambda i: X[i], squares, Samples.all(3))


def test_what_skips_a_stage_cannot_be_cut_there():
    model = Long().double()
    with pytest.raises(ValueError, match="needs more than the stage before it gives"):
        cut_at(model, ["blocks.0", "blocks.2"], X[:2])


def test_dropout_of_torch_is_refused():
    stages = [nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.1))]
    with pytest.raises(ValueError, match=r"ddopt.dropout.Dropout"):
        StagedProblem(stages, lambda i: X[i], squares, Samples.all(3))

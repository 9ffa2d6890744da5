"""The round-off of f is that of the loss, whatever the parameters are kept in."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ddopt.acceptance.monotone import Monotone
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.closure import ClosureProblem
from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.derived import Frozen, held
from ddopt.evaluation.problem import Point, Samples
from ddopt.evaluation.scaled import Scaled
from ddopt.evaluation.stillness import Stillness
from ddopt.executor import Serial, Split
from ddopt.numerics.space import Layout, Parameters
from ddopt.optim import SAPTS, TrustRegion
from ddopt.optim.changes import Changes
from ddopt.solver.pieces import Cut, Pieces

SINGLE, DOUBLE = torch.finfo(torch.float32).eps, torch.finfo(torch.float64).eps
BRAIN = torch.finfo(torch.bfloat16).eps


def closure_problem(kept, loss_in):
    x = nn.Parameter(torch.ones(4, dtype=kept))

    def closure():
        loss = x.square().sum()
        loss = loss.item() if loss_in is None else loss.to(loss_in)
        x.grad = torch.ones_like(x)
        return loss

    parameters = Parameters([("x", x)])
    f = ClosureProblem(parameters, closure, Stillness([], torch.device("cpu")))
    return f, parameters.read()


@pytest.mark.parametrize(
    ("kept", "loss_in", "epsilon"),
    [
        (torch.bfloat16, torch.float32, SINGLE),
        (torch.bfloat16, torch.bfloat16, BRAIN),
        (torch.bfloat16, None, BRAIN),  # a number does not say in what it was computed
        (torch.float32, torch.float64, DOUBLE),
        (torch.float64, torch.float32, SINGLE),
        (torch.float32, None, SINGLE),
    ],
)
def test_a_closure_is_known_to_the_precision_of_its_loss(kept, loss_in, epsilon):
    f, theta = closure_problem(kept, loss_in)
    assert f.at(theta).epsilon == epsilon


def single_loss(chunk=None):
    """Vectors in float64, the loss in float32."""

    def sums(named, samples):
        return ((named["x"] * samples.terms[0].sum()).square().sum().float(),)

    return AutogradProblem(Layout.flat(64), sums, Samples.all(6), chunk=chunk)


@pytest.mark.parametrize("chunk", [None, 2])
def test_whoever_wraps_f_keeps_its_round_off(chunk):
    f, theta = single_loss(chunk), torch.ones(64, dtype=torch.float64)
    start = f.at(theta)
    some = slice(0, 32)
    assert {start.epsilon, f.both(theta).epsilon} == {SINGLE}
    assert Frozen(f, theta, some).both(theta[some]).epsilon == SINGLE
    assert held(f, start, some).at(theta[some]).epsilon == SINGLE
    consistent = Consistent(f, start, start.gradient)
    assert {consistent.start.epsilon, consistent.at(theta).epsilon} == {SINGLE}
    assert Scaled(f, 3.0).at(theta).epsilon == SINGLE
    split = Split(f, 3, Serial())
    assert {split.at(theta).epsilon, split.alone.both(theta).epsilon} == {SINGLE}
    cut = Cut(64, 2, Serial())
    assert Pieces(f, cut).at(cut.take(theta)).epsilon == SINGLE


def test_a_change_within_the_round_off_of_the_losses_is_not_judged():
    theta = torch.zeros(1, dtype=torch.float64)
    f = single_loss()

    def judged(epsilon):
        point = Point(theta, 1.0, theta, epsilon)
        trial = Point(theta, 1.0 + 2.0 * SINGLE, theta, DOUBLE)
        return Monotone().consider(f, point, trial, SINGLE, 1.0).accepted

    assert judged(SINGLE)
    assert not judged(DOUBLE)


def classifier(dtype, n=600):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(n, 10)
        y = (x @ torch.randn(10, 3) + 2.0 * torch.randn(n, 3)).argmax(1)
        model = nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)

    def closure_of(model, optimizer):
        def closure():
            optimizer.zero_grad()
            loss = cross_entropy(model(x.to(dtype)).float(), y)
            loss.backward()
            return loss

        return closure

    return model, closure_of


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_with_a_single_precision_loss_goes_on_and_never_rises(dtype):
    model, closure_of = classifier(dtype)
    optimizer = TrustRegion(model.parameters(), stochastic=False)
    closure = closure_of(model, optimizer)
    losses = [float(optimizer.step(closure)) for _ in range(80)]
    assert losses == sorted(losses, reverse=True)
    assert losses[79] < losses[45]


def test_a_restored_half_precision_step_has_the_same_bits():
    model, closure_of = classifier(torch.bfloat16)
    optimizer = TrustRegion(model.parameters(), stochastic=False)
    for _ in range(6):
        optimizer.step(closure_of(model, optimizer))
    twin = copy.deepcopy(model)
    other = TrustRegion(twin.parameters(), stochastic=False)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other._engine.point.epsilon == SINGLE
    for _ in range(4):
        assert optimizer.step(closure_of(model, optimizer)) == other.step(closure_of(twin, other))


@pytest.mark.parametrize("variant", ["plain", "P"])
def test_jitter_of_the_last_bit_is_no_other_function(variant):
    model, closure_of = classifier(torch.float32)
    optimizer = TrustRegion(model.parameters())
    if variant == "P":
        optimizer = SAPTS(model.named_parameters(), variant)
    inner, calls = closure_of(model, optimizer), 0

    def closure():  # sums in another order, as on a GPU
        nonlocal calls
        calls += 1
        return inner() * (1.0 + (calls % 3) * SINGLE)

    for _ in range(40):
        optimizer.step(closure)
    assert optimizer._start.changes.stochastic is None
    if variant == "plain":
        assert calls < 60  # 41, and a second look now and then


@pytest.mark.parametrize(
    ("epsilon", "same"), [(DOUBLE, 0.5e-9), (DOUBLE, 1e-15), (SINGLE, 3 * SINGLE)]
)
def test_what_round_off_explains_is_the_same_function(epsilon, same):
    assert Changes(None).compared(3.0, 3.0 * (1.0 + same), epsilon)


@pytest.mark.parametrize(("epsilon", "other"), [(DOUBLE, 1e-8), (SINGLE, 1e-5)])
def test_what_round_off_does_not_explain_is_another_function(epsilon, other):
    changes = Changes(None)
    for _ in range(2):
        assert not changes.compared(3.0, 3.0 * (1.0 + other), epsilon)
    assert changes.stochastic

"""f is compared with f, and a module is left as the point that is kept has left it."""

import copy
import math

import pytest
import torch
from torch import nn

from ddopt.decomposition.data import deal
from ddopt.evaluation.closure import ClosureProblem
from ddopt.evaluation.derived import held
from ddopt.evaluation.stillness import Stillness
from ddopt.executor import Serial, Split, shared
from ddopt.numerics.space import Parameters
from ddopt.optim import SAPTS, TrustRegion

COUNT = 64


def data():
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(COUNT, 4, generator=generator, dtype=torch.float64)
    return x, torch.sin(x.sum(1, keepdim=True))


def network(layer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), layer, nn.Tanh(), nn.Linear(8, 1)).double()


def closure_of(model, optimizer, x, y):
    def closure(part=None):
        inputs, targets = (x, y) if part is None else part
        optimizer.zero_grad()
        loss = (model(inputs) - targets).square().mean()
        loss.backward()
        return loss

    return closure


def split(layer, count=3):
    """f of a network over a batch, in shares."""
    model, (x, y) = network(layer), data()
    parameters = Parameters(model.named_parameters())
    still = Stillness(list(model.buffers()), torch.device("cpu"))

    def closure(part):
        loss = (model(part[0]) - part[1]).square().mean()
        loss.backward()
        return loss

    f = ClosureProblem(parameters, closure, still, (x, y))
    return shared(f, count, Serial())[0], parameters.read()


class Elsewhere(Serial):
    """One process that looks like the first of two: f alone is not f of all processes."""

    size = 2

    def owned(self, count):
        return range(count)


RANDOM = {"dropout": lambda: nn.Dropout(0.4), "batch norm": lambda: nn.BatchNorm1d(8)}


@pytest.mark.parametrize("layer", RANDOM)
def test_f_is_the_same_function_alone_and_with_some_parameters_held(layer):
    torch.manual_seed(0)  # the masks follow the generator as they find it
    f, theta = split(RANDOM[layer]())
    assert isinstance(f, Split)
    apart = Split(f.problem, f.count, Elsewhere())
    value = f.at(theta).value
    assert f.problem.at(theta).value != pytest.approx(value, rel=1e-3)  # all samples at once
    assert apart.alone.at(theta).value == value
    assert torch.equal(apart.alone.at(theta).gradient, f.at(theta).gradient)
    some = slice(3, 17)
    local = held(f, f.at(theta), some)
    assert local.at(theta[some]).value == value
    assert torch.equal(local.at(theta[some]).gradient, f.at(theta).gradient[some])


@pytest.mark.parametrize("layer", RANDOM)
@pytest.mark.parametrize("variant", ["P", "D"])
@pytest.mark.parametrize("recombination", ["sum", "mean", "best"])
def test_every_recombination_compares_values_of_one_function(
    variant, recombination, layer, monkeypatch
):
    """An honest ratio has values of f at both ends: those of f in shares, from the same state."""
    model, (x, y) = network(RANDOM[layer]()), data()
    optimizer = SAPTS(
        model.named_parameters(), variant, subdomains=2, recombination=recombination,
        buffers=model.buffers(), global_iterations=0, local_iterations=2,
    )  # fmt: skip
    closure = closure_of(model, optimizer, x, y)
    twin, random, seen = copy.deepcopy(model), torch.get_rng_state(), []
    acceptance = optimizer._engine.parts.preconditioner.acceptance
    consider = acceptance.consider

    def listening(problem, point, trial, *rest):
        seen.extend([(point.theta.clone(), point.value), (trial.theta.clone(), trial.value)])
        return consider(problem, point, trial, *rest)

    acceptance.consider = listening
    optimizer.step(closure, (x, y))
    del acceptance.consider
    parameters = Parameters(twin.named_parameters())
    torch.set_rng_state(random)
    still = Stillness(list(twin.buffers()), torch.device("cpu"))

    def again(part):
        loss = (twin(part[0]) - part[1]).square().mean()
        loss.backward()
        return loss

    f, _ = shared(ClosureProblem(parameters, again, still, (x, y)), 2, Serial())
    assert len(seen) == 2
    for theta, value in seen:
        assert f.at(theta).value == value


def running(model):
    return copy.deepcopy(model[1].state_dict())


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


def expected(model, before, part):
    """The statistics after one pass over ``part`` at the parameters of now."""
    twin = copy.deepcopy(model)
    twin[1].load_state_dict({**twin[1].state_dict(), **_statistics(before)})
    twin(part)
    return running(twin)


def _statistics(state):
    return {key: state[key] for key in ("running_mean", "running_var", "num_batches_tracked")}


MAKERS = {
    "trust_region": lambda m, **o: TrustRegion(m.parameters(), buffers=m.buffers(), **o),
    "layers": lambda m, **o: SAPTS(m.named_parameters(), "P", 2, buffers=m.buffers(), **o),
    "data, best": lambda m, **o: SAPTS(
        m.named_parameters(), "D", 2, buffers=m.buffers(), recombination="best", **o
    ),
    "data, mean": lambda m, **o: SAPTS(
        m.named_parameters(), "D", 2, buffers=m.buffers(), recombination="mean", **o
    ),
    "micro": lambda m, **o: SAPTS(
        m.named_parameters(), "M", 2, buffers=m.buffers(), judged=0.5, **o
    ),
}


@pytest.mark.parametrize("stochastic", [None, False, True])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_rejected_trial_leaves_no_trace(kind, stochastic):
    model, (x, y) = network(nn.BatchNorm1d(8)), data()
    optimizer = MAKERS[kind](model, stochastic=stochastic)
    start = Parameters(model.named_parameters()).read()

    def closure(part=None):
        inputs, targets = (x, y) if part is None else part
        moved = not torch.equal(Parameters(model.named_parameters()).read(), start)
        optimizer.zero_grad()
        loss = (model(inputs + 50.0 * moved) - targets).square().mean()  # odd statistics, if moved
        loss = loss + (1e6 + 1e3 * loss.detach() if moved else 0.0)
        loss.backward()
        return loss

    batch = ((x, y),) if kind[0] in "dm" else ()
    for _ in range(4):
        optimizer.step(closure, *batch)
        assert not optimizer.report.accepted
        assert torch.equal(Parameters(model.named_parameters()).read(), start)
        assert float(model[1].running_mean.abs().max()) < 3.0
        assert float(model[1].running_var.max()) < 10.0


@pytest.mark.parametrize("kind", ["trust_region", "layers", "data, best", "data, mean"])
def test_statistics_are_those_of_the_point_that_is_kept(kind):
    model, (x, y) = network(nn.BatchNorm1d(8)), data()
    optimizer = MAKERS[kind](model, stochastic=False)
    closure = closure_of(model, optimizer, x, y)
    batch = ((x, y),) if kind.startswith("data") else ()
    accepted = rejected = 0
    for _ in range(12):
        before = running(model)
        theta = Parameters(model.named_parameters()).read()
        optimizer.step(closure, *batch)
        after = running(model)
        if torch.equal(theta, Parameters(model.named_parameters()).read()) and not batch:
            rejected += 1
            if optimizer.report.iteration:
                assert same(after, before)
            continue
        accepted += 1
        first = optimizer._engine.point  # of shares, the first one's
        part = x if not batch else _first_share(x)
        assert first.trace is None
        for key, value in expected(model, before, part).items():
            if key in _statistics(before):
                assert torch.equal(after[key], value), key
    assert accepted > 3


def _first_share(x):
    return x[deal((COUNT,), 2)[0].terms[0]]


def test_a_step_that_fails_leaves_no_trace():
    model, (x, y) = network(nn.BatchNorm1d(8)), data()
    optimizer = MAKERS["trust_region"](model)
    optimizer.step(closure_of(model, optimizer, x, y))
    before, random = running(model), torch.get_rng_state()
    optimizer.step(closure_of(model, optimizer, x * math.nan, y))  # once may be an accident
    assert same(running(model), before)
    with pytest.raises(ValueError, match="not finite where this step begins"):
        optimizer.step(closure_of(model, optimizer, x * math.nan, y))
    assert same(running(model), before)
    assert torch.equal(torch.get_rng_state(), random)

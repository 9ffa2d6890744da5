"""Optimizers inside DistributedDataParallel: one step of all processes, from the mean loss."""

import warnings

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from ddopt.optim import SAPTS, LeastSquares, TrustRegion
from ddopt.testing.problems import classification
from ddopt.testing.ranks import RankFailedError, run_ranks

MAKERS = {
    "trust_region": lambda net: TrustRegion(net.parameters()),
    "layers": lambda net: SAPTS(net.named_parameters(), variant="P", subdomains=2),
    "data": lambda net: SAPTS(net.parameters(), variant="D", subdomains=2, local_iterations=3),
    "micro": lambda net: SAPTS(net.parameters(), variant="M", subdomains=2),
}


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(executor, kind, steps, compiled=False):
    """Each rank takes every other sample, as a DistributedSampler deals them out."""
    net, x, y = classification()
    x, y = x[executor.rank :: 2], y[executor.rank :: 2]
    model = DistributedDataParallel(net)
    called = torch.compile(model, backend="eager") if compiled else model
    optimizer = MAKERS[kind](model)
    calls, losses = 0, []

    def closure(part=None):
        nonlocal calls
        calls += 1
        inputs, labels = (x, y) if part is None else part
        loss = cross_entropy(called(inputs), labels)
        loss.backward()
        return loss

    batch = [(x, y)] if kind in ("data", "micro") else []
    for _ in range(steps):
        losses.append(optimizer.step(closure, *batch).item())
    return flat(model), calls, losses


@pytest.mark.parametrize("kind", MAKERS)
def test_ranks_stay_the_same_to_the_bit_and_train(kind):
    (first, calls, losses), (second, others, theirs) = run_ranks(trained, 2, kind, 12)
    assert torch.equal(first, second)
    assert (calls, losses) == (others, theirs)
    assert losses[-1] < 0.5 * losses[0]


def test_the_steps_are_those_of_one_process_with_all_samples():
    """The mean of two means over halves is the mean over the whole, but for rounding."""
    (parameters, calls, losses), _ = run_ranks(trained, 2, "trust_region", 8)
    net, x, y = classification()
    optimizer = TrustRegion(net.parameters())
    alone = []

    def closure():
        alone.append(0)
        loss = cross_entropy(net(x), y)
        loss.backward()
        return loss

    assert len(x) % 2 == 0
    expected = [optimizer.step(closure).item() for _ in range(8)]
    assert losses == pytest.approx(expected, rel=1e-9)
    assert torch.allclose(parameters, flat(net), rtol=1e-6)
    assert calls == len(alone)


def test_a_compiled_model_is_noticed_too():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (first, _, _), (second, _, _) = run_ranks(trained, 2, "trust_region", 6, True)
    assert torch.equal(first, second)


def other_data_on_one_rank(executor):
    """A new closure on one rank alone: whether to look again is decided together."""
    net, x, y = classification()
    x, y = x[executor.rank :: 2], y[executor.rank :: 2]
    model = DistributedDataParallel(net)
    optimizer = TrustRegion(model.parameters())

    def closure_of(inputs):
        def closure():
            loss = cross_entropy(model(inputs), y)
            loss.backward()
            return loss

        return closure

    kept = closure_of(x)
    for step in range(8):
        fresh = executor.rank == 1 and step > 4
        optimizer.step(closure_of(x.clone()) if fresh else kept)
    return flat(model)


def test_what_one_rank_sees_is_looked_at_by_all():
    first, second = run_ranks(other_data_on_one_rank, 2)
    assert torch.equal(first, second)


def alone_on_one_rank(executor):
    """No DistributedDataParallel: each process trains what it likes, or nothing at all."""
    net, x, y = classification()
    optimizer = TrustRegion(net.parameters())

    def closure():
        loss = cross_entropy(net(x), y)
        loss.backward()
        return loss

    for _ in range(3 * executor.rank):
        optimizer.step(closure)
    return optimizer.report is not None


def test_a_process_that_trains_alone_waits_for_nobody():
    assert run_ranks(alone_on_one_rank, 2) == [False, True]


def step_in(executor, wrap, make):
    net, x, y = classification()
    model = wrap(net)
    optimizer = make(model, executor)

    def closure():
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


def dealt(model, _):
    return ZeroRedundancyOptimizer(model.parameters(), TrustRegion)


def shared(model, executor):
    return SAPTS(model.parameters(), variant="P", subdomains=2, executor=executor)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "message"),
    [(dealt, "ZeroRedundancyOptimizer deals them out"), (shared, "make the optimizer without an")],
)
def test_what_does_not_go_together_is_said_at_the_first_step(make, message):
    with pytest.raises(RankFailedError, match=message):
        run_ranks(step_in, 2, DistributedDataParallel, make)


def sharded(executor):
    from torch.distributed.fsdp import fully_shard

    net, _, _ = classification()
    mesh = dist.init_device_mesh("cpu", (2,))
    fully_shard(net, mesh=mesh)
    with pytest.raises(ValueError, match=r"DTensor.* train the model in DistributedDataParallel"):
        TrustRegion(net.parameters())
    return True


def test_sharded_parameters_are_refused():
    assert run_ranks(sharded, 2) == [True, True]


def without_sync(executor):
    net, x, y = classification()
    x, y = x[executor.rank :: 2], y[executor.rank :: 2]
    model = DistributedDataParallel(net)
    optimizer = TrustRegion(model.parameters())

    def closure():
        with model.no_sync():
            loss = cross_entropy(model(x), y)
            loss.backward()
        return loss

    with pytest.raises(ValueError, match=r"gradients are not the same .* outside no_sync"):
        optimizer.step(closure)
    return True


def test_gradients_that_are_not_averaged_are_told():
    assert run_ranks(without_sync, 2) == [True, True]


def other_parameters_on_one_rank(executor):
    net, x, y = classification()
    model = DistributedDataParallel(net)
    optimizer = TrustRegion(model.parameters())

    def closure():
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    if executor.rank:
        with torch.no_grad():
            next(model.parameters()).add_(1.0)
    with pytest.raises(ValueError, match="the parameters are not the same on all processes"):
        optimizer.step(closure)
    return True


def test_parameters_that_part_later_are_told():
    assert run_ranks(other_parameters_on_one_rank, 2) == [True, True]


def test_one_process_registers_nothing():
    net, x, y = classification()
    optimizer = TrustRegion(net.parameters())

    def closure():
        assert not nn.modules.module._global_forward_pre_hooks
        loss = cross_entropy(net(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


def residuals_in_replicas(executor):
    net, x, _ = classification()
    model = DistributedDataParallel(net)
    optimizer = LeastSquares(model.parameters())
    optimizer.step(lambda: model(x[executor.rank :: 2]).tanh())


def test_residuals_of_replicas_are_refused():
    with pytest.raises(RankFailedError, match="returns residuals, and its model is in Distributed"):
        run_ranks(residuals_in_replicas, 2)
    run_ranks(residuals_of_one_model_each, 2)


def residuals_of_one_model_each(executor):
    """Processes that have nothing to do with each other are left alone."""
    net, x, _ = classification()

    def loss():
        with torch.no_grad():
            return float(net(x).tanh().square().mean())

    before, optimizer = loss(), LeastSquares(net.parameters())
    for _ in range(3):
        optimizer.step(lambda: net(x).tanh())
    assert loss() < before

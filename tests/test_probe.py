"""What a closure is asked at the start: is its loss a mean, and the same at a second call?"""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ddopt.optim import SAPTS, TrustRegion
from ddopt.testing.problems import classification

PARTS = {
    "D": {"subdomains": 4, "local_iterations": 2},
    "M": {"subdomains": 2},
    "P": {"subdomains": 2},
    "hybrid": {"parts": 2, "groups": 2},
}


@pytest.mark.parametrize("variant", PARTS)
def test_a_sum_over_samples_is_told_where_parts_are_compared(variant):
    model, x, y = classification()
    optimizer = SAPTS(model.parameters(), variant=variant, **PARTS[variant])

    def closure(part):
        loss = cross_entropy(model(part[0]), part[1], reduction="sum")
        loss.backward()
        return loss

    with pytest.raises(ValueError, match=r"a sum over samples.*divide by len\(part\)"):
        optimizer.step(closure, (x, y))


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("variant", PARTS)
def test_a_mean_is_none_with_dropout_and_batch_norm_and_a_penalty_either(variant, noisy):
    torch.manual_seed(0)
    model, x, y = classification()
    if noisy:
        norm = [nn.BatchNorm1d(2)] if variant != "M" else []  # its last micro-batch may be of one
        model = nn.Sequential(*norm, nn.Dropout(0.5), *model).to(x.dtype)
    optimizer = SAPTS(
        model.parameters(), variant=variant, buffers=model.buffers(), **PARTS[variant]
    )

    def closure(part):
        penalty = 10.0 * sum(p.square().sum() for p in model.parameters())
        loss = cross_entropy(model(part[0]), part[1]) + penalty
        loss.backward()
        return loss

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step(closure, (x, y))


def test_a_sum_of_a_whole_batch_is_a_loss_like_any_other():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())

    def closure(part):
        loss = cross_entropy(model(part[0]), part[1], reduction="sum")
        loss.backward()
        return loss

    first = optimizer.step(closure, (x, y))
    for _ in range(8):
        last = optimizer.step(closure, (x, y))
    assert last < 0.5 * first


random = np.random.default_rng(0)
loader = iter(torch.arange(10**6).view(-1, 10))
WAYS = {
    "NumPy": (lambda x: torch.as_tensor(random.integers(0, len(x), 100)), True),
    "next": (lambda x: next(loader) % len(x), True),
    "torch": (lambda x: torch.randint(len(x), (100,)), False),
    "all": (lambda x: torch.arange(len(x)), False),
}


@pytest.mark.parametrize("options", [{}, {"stochastic": True}, {"variant": "M"}])
@pytest.mark.parametrize("way", WAYS)
def test_random_numbers_that_are_not_torch_s_are_warned_of_once(way, options):
    pick, told = WAYS[way]
    model, x, y = classification()
    batches = "variant" in options
    make = SAPTS if batches else TrustRegion
    optimizer = make(model.parameters(), **options)

    def closure(part=None):
        inputs, labels = part if batches else (x, y)
        index = pick(inputs)
        loss = cross_entropy(model(inputs[index]), labels[index])
        loss.backward()
        return loss

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for _ in range(6):
            optimizer.step(closure, *[(x, y)] * batches)
    said = [str(one.message) for one in heard if "draws elsewhere" in str(one.message)]
    assert len(said) == told


def test_every_call_of_the_closure_is_counted():
    for options in ({"stochastic": True}, {}):
        model, x, y = classification()
        optimizer, calls = TrustRegion(model.parameters(), **options), []

        def closure(model=model, x=x, y=y, calls=calls):
            calls.append(0)
            pick = torch.as_tensor(random.integers(0, len(x), 300))
            loss = cross_entropy(model(x[pick]), y[pick])
            loss.backward()
            return loss

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(5):
                optimizer.step(closure)
        assert optimizer.evaluations == len(calls)


VARIANTS = {
    "trust_region": lambda net: TrustRegion(net.parameters()),
    "stochastic": lambda net: TrustRegion(net.parameters(), stochastic=True),
    "lbfgs": lambda net: TrustRegion(net.parameters(), hessian="lbfgs"),
    "asntr": lambda net: SAPTS(net.parameters(), variant="D", acceptance="asntr"),
    "mean": lambda net: SAPTS(net.parameters(), variant="D", recombination="mean"),
    **{
        variant: lambda net, v=variant: SAPTS(net.parameters(), variant=v, **PARTS[v])
        for variant in PARTS
    },
}


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_everything_pickles_and_copies_and_goes_on_with_the_same_bits(variant, steps):
    model, x, y = classification()
    optimizer = VARIANTS[variant](model)
    batched = variant in ("D", "M", "hybrid", "asntr", "mean")

    def step(net, own):
        def closure(part=None):
            inputs, labels = (x, y) if part is None else part
            loss = cross_entropy(net(inputs), labels)
            loss.backward()
            return loss

        return own.step(closure, *[(x, y)] * batched).item()

    for _ in range(steps):
        step(model, optimizer)
    copies = [
        copy.deepcopy((model, optimizer)),
        pickle.loads(pickle.dumps((model, optimizer))),
    ]
    expected = [step(model, optimizer) for _ in range(3)]
    for pair in copies:
        assert [step(*pair) for _ in range(3)] == expected

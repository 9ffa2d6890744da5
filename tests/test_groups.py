"""What scripts bring along from other optimizers: options, groups, and how step is looked at."""

import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

from ddopt.optim import SAPTS, TrustRegion
from ddopt.testing.problems import classification


def closure_of(model, x, y):
    def closure():
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    return closure


HARMLESS = [
    {"weight_decay": 0.0},
    {"weight_decay": 0},
    {"maximize": False},
    {"foreach": True},
    {"foreach": None, "fused": False},
    {"capturable": False, "differentiable": False},
]


@pytest.mark.parametrize("options", HARMLESS)
@pytest.mark.parametrize("make", [TrustRegion, SAPTS])
def test_options_of_other_optimizers_that_mean_nothing_are_taken(make, options):
    model, x, y = classification()
    ends = []
    for given in (options, {}):
        model, x, y = classification()
        optimizer = make(model.parameters(), **given)
        for _ in range(3):
            optimizer.step(closure_of(model, x, y))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_decay": 1e-2}, r"weight_decay=0.01 is not an option here; add it to the loss"),
        ({"maximize": True}, r"maximize=True .* return the negative of the loss"),
        ({"capturable": True}, "capturable=True .* leave it out"),
        ({"differentiable": True}, "differentiable=True .* leave it out"),
        ({"momentum": 0.9}, "momentum=0.9 .* leave it out"),
        ({"betas": (0.9, 0.99)}, "betas=.* leave it out"),
        ({"line_search_fn": "strong_wolfe"}, "line_search_fn=.* one step is one trial"),
        ({"history_size": 50}, "'memory': 50"),
    ],
)
@pytest.mark.parametrize("make", [TrustRegion, SAPTS])
def test_options_that_mean_something_are_refused_with_what_to_do(make, options, message):
    with pytest.raises(ValueError, match=message):
        make([nn.Parameter(torch.zeros(3))], **options)


def test_a_learning_rate_by_position():
    with pytest.warns(UserWarning, match=r"lr = 0.01 in the parameter groups has no effect"):
        TrustRegion([nn.Parameter(torch.zeros(3))], 1e-2)
    with pytest.raises(ValueError, match=r"second argument is the variant.* 0.01 was given"):
        SAPTS([nn.Parameter(torch.zeros(3))], 1e-2)


def split(model, rates):
    """The layers of the model as groups with learning rates."""
    return [
        {"params": layer.parameters(), "lr": rate}
        for layer, rate in zip(model[::2], rates, strict=True)
    ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [TrustRegion, SAPTS])
def test_a_group_with_a_learning_rate_of_0_is_held_still(make):
    model, x, y = classification()
    frozen = model[2].weight.detach().clone()
    optimizer = make(split(model, (1.0, 0.0, 1.0)))
    ends = [[], []]
    for _ in range(4):
        ends[0].append(optimizer.step(closure_of(model, x, y)).item())
    assert torch.equal(model[2].weight, frozen)
    model, x, y = classification()
    model[2].requires_grad_(False)
    optimizer = make(p for p in model.parameters() if p.requires_grad)
    for _ in range(4):
        ends[1].append(optimizer.step(closure_of(model, x, y)).item())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("first", [1.0, 0.0])
def test_freezing_a_group_later_is_refused(first):
    model, x, y = classification()
    optimizer = TrustRegion(split(model, (1.0, first, 1.0)))
    optimizer.step(closure_of(model, x, y))
    optimizer.param_groups[1]["lr"] = 1.0 - first
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=r"lr = 0 holds the parameter groups .* make a new one"):
        optimizer.step(closure_of(model, x, y))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("held", [True, False])
def test_a_schedule_that_begins_or_ends_at_0_freezes_nothing(held):
    model, x, y = classification()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = TrustRegion(split(model, (1.0, 0.0 if held else 1.0, 1.0)))
        schedule = lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 2))
        losses = []
        for _ in range(5):
            losses.append(optimizer.step(closure_of(model, x, y)).item())
            schedule.step()
    assert losses[-1] < losses[0]


def test_a_held_group_is_saved_and_restored():
    model, x, y = classification()
    optimizer = TrustRegion(split(model, (1.0, 0.0, 1.0)))
    for _ in range(3):
        optimizer.step(closure_of(model, x, y))
    saved, start = optimizer.state_dict(), [p.detach().clone() for p in model.parameters()]
    expected = optimizer.step(closure_of(model, x, y)), optimizer.step(closure_of(model, x, y))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start, strict=True):
            parameter.copy_(value)
    again = TrustRegion(split(model, (1.0, 0.0, 1.0)))
    again.load_state_dict(saved)
    assert expected == (again.step(closure_of(model, x, y)), again.step(closure_of(model, x, y)))


def test_step_looks_as_that_of_lbfgs_does():
    """A closure without a default is how libraries tell that an optimizer needs one."""
    theirs = inspect.signature(torch.optim.LBFGS.step).parameters["closure"]
    own = inspect.signature(TrustRegion([nn.Parameter(torch.zeros(1))]).step).parameters["closure"]
    assert own.default is theirs.default is inspect.Parameter.empty
    assert own.kind is theirs.kind
    assert inspect.signature(torch.optim.Adam.step).parameters["closure"].default is None


def test_step_takes_the_closure_by_its_name():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    before = cross_entropy(model(x), y).item()
    assert optimizer.step(closure=closure_of(model, x, y)).item() == pytest.approx(before)


def test_the_state_of_another_optimizer_is_left_out_with_a_warning():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    adam = torch.optim.Adam(model.parameters())
    closure = closure_of(model, x, y)
    adam.step(closure)
    for _ in range(3):
        optimizer.step(closure)
    with pytest.warns(UserWarning, match="not saved by TrustRegion, but by another optimizer"):
        optimizer.load_state_dict(adam.state_dict())
    before = cross_entropy(model(x), y).item()
    for _ in range(4):
        optimizer.step(closure)
    assert cross_entropy(model(x), y).item() < before

"""The torch contract: closures, batches, groups, schedulers, state, buffers, random numbers."""

import copy
import io
import linecache
import warnings
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

from ddopt.evaluation.problem import Point
from ddopt.optim import SAPTS, TrustRegion
from ddopt.optim.changes import Changes, misfit
from ddopt.testing.problems import classification


def trainer(model, x, y, optimizer):
    def closure(part=None):
        inputs, labels = (x, y) if part is None else part
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), labels)
        loss.backward()
        return loss

    return closure


MAKERS = {
    "trust_region": lambda model: TrustRegion(model.named_parameters()),
    "layers": lambda model: SAPTS(model.named_parameters(), variant="P", subdomains=2),
    "data": lambda model: SAPTS(model.parameters(), variant="D", subdomains=4),
}


def arguments(kind, closure, x, y):
    return (closure, (x, y)) if kind == "data" else (closure,)


@pytest.mark.parametrize("kind", MAKERS)
def test_it_trains_and_returns_the_loss_at_the_start(kind):
    model, x, y = classification()
    optimizer = MAKERS[kind](model)
    closure = trainer(model, x, y, optimizer)
    losses = []
    for _ in range(25):
        before = cross_entropy(model(x), y).item()
        returned = optimizer.step(*arguments(kind, closure, x, y))
        assert not returned.requires_grad
        assert returned.item() == pytest.approx(before, rel=1e-12)
        losses.append(before)
    assert losses[-1] < 0.2 * losses[0]


LOW = {
    "trust_region": MAKERS["trust_region"],
    "adam": lambda model: SAPTS(model.parameters(), subdomains=2, solver="trust_region_adam"),
    "micro": lambda model: SAPTS(model.parameters(), variant="M", subdomains=2),
}


@pytest.mark.parametrize("kind", LOW)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_of_half_precision_are_trained(kind, dtype):
    model, x, y = classification()
    model, x = model.to(dtype), x.to(dtype)
    optimizer = LOW[kind](model)
    batch = [(x, y)] if kind == "micro" else []
    first = cross_entropy(model(x).float(), y).item()
    for _ in range(30):
        optimizer.step(trainer(model, x, y, optimizer), *batch)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert cross_entropy(model(x).float(), y).item() < 0.3 * first


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_float32_parameters_are_trained_in_autocast(dtype):
    model, x, y = classification()
    model, x = model.float(), x.float()
    optimizer = TrustRegion(model.parameters())

    def closure():
        with torch.autocast("cpu", dtype=dtype):
            loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(30)]
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_saved_optimizer_continues_bit_for_bit(kind, dtype):
    model, x, y = classification()
    model, x = model.to(dtype), x.to(dtype)
    optimizer = MAKERS[kind](model)
    closure = trainer(model, x, y, optimizer)
    for _ in range(4):
        optimizer.step(*arguments(kind, closure, x, y))

    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = copy.deepcopy(model)
    other.load_state_dict(saved["model"])
    restored = MAKERS[kind](other)
    restored.load_state_dict(saved["optimizer"])

    again = trainer(other, x, y, restored)
    for _ in range(5):
        a = optimizer.step(*arguments(kind, closure, x, y))
        b = restored.step(*arguments(kind, again, x, y))
        assert a.item() == b.item()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p, q)


def test_distributed_checkpoint_round_trip(tmp_path):
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint import state_dict as dcp

    model, x, y = classification()
    optimizer = MAKERS["layers"](model)
    closure = trainer(model, x, y, optimizer)
    for _ in range(3):
        optimizer.step(closure)
    other = copy.deepcopy(model)
    restored = MAKERS["layers"](other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = {"optimizer": dcp.get_optimizer_state_dict(model, optimizer)}
        checkpoint.save(saved, checkpoint_id=tmp_path / "c")
        target = {"optimizer": dcp.get_optimizer_state_dict(other, restored)}
        checkpoint.load(target, checkpoint_id=tmp_path / "c")
        dcp.set_optimizer_state_dict(other, restored, target["optimizer"])
    again = trainer(other, x, y, restored)
    for _ in range(3):
        assert optimizer.step(closure).item() == restored.step(again).item()


def test_a_step_costs_one_evaluation_when_the_closure_is_one_function():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters(), stochastic=False)
    calls = []
    closure = trainer(model, x, y, optimizer)
    for _ in range(10):
        optimizer.step(lambda: calls.append(0) or closure())
    assert len(calls) == 11 == optimizer.evaluations


@pytest.mark.parametrize("iterations", [1, 3])
def test_iterations_on_one_batch_share_the_evaluation_where_it_begins(iterations):
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters(), iterations=iterations)
    calls = []
    closure = trainer(model, x, y, optimizer)
    for k in range(6):
        pick = torch.arange(k % 3, len(x), 3)
        optimizer.step(lambda part: calls.append(0) or closure(part), (x[pick], y[pick]))
    assert len(calls) == optimizer.evaluations == 6 * (1 + iterations) + 1  # asked twice at first
    with pytest.raises(ValueError, match="iterations = 0; expected how many"):
        TrustRegion(model.parameters(), iterations=0)


@pytest.mark.parametrize(("variant", "subdomains"), [("D", 3), ("M", 2)])
def test_evaluations_are_the_samples_that_the_closure_has_seen(variant, subdomains):
    model, x, y = classification()
    optimizer = SAPTS(model.parameters(), variant=variant, subdomains=subdomains)
    seen = []
    closure = trainer(model, x, y, optimizer)
    for _ in range(3):
        optimizer.step(lambda part: seen.append(len(part[0])) or closure(part), (x, y))
    assert optimizer.evaluations == pytest.approx(sum(seen) / len(x))


def test_mini_batches_without_a_batch_argument_are_noticed():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    for k in range(12):
        pick = torch.arange(k % 5, len(x), 5)
        before = cross_entropy(model(x[pick]), y[pick]).item()
        returned = optimizer.step(trainer(model, x[pick], y[pick], optimizer))
        if k > 3:
            assert returned.item() == pytest.approx(before, rel=1e-12)


def remade(model, part, loss, optimizer):
    """A closure as scripts write it inside a loop, around a batch in one piece and a function."""

    def closure():
        optimizer.zero_grad()
        value = loss(model(part[0]), part[1])
        value.backward()
        return value

    return closure


@pytest.mark.parametrize("what", ["a tuple", "a function"])
def test_other_data_or_another_loss_in_a_closure_is_noticed_in_the_next_step(what):
    model, x, y = classification()
    optimizer, half = TrustRegion(model.parameters()), (x[::2], y[::2])
    for _ in range(6):
        optimizer.step(remade(model, half, cross_entropy, optimizer))
    if what == "a tuple":
        other, loss = (x[1::2], y[1::2]), cross_entropy
    else:
        other, loss = half, lambda *pair: 0.1 * cross_entropy(*pair)
    before = loss(model(other[0]), other[1]).item()
    assert optimizer.step(remade(model, other, loss, optimizer)).item() == pytest.approx(before)


def test_what_comes_anew_with_every_closure_is_looked_at_once():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    for _ in range(8):
        part, loss = (x, y.clone()), lambda *pair: cross_entropy(*pair)
        optimizer.step(remade(model, part, loss, optimizer))
    twin_model = classification()[0]
    twin = TrustRegion(twin_model.parameters())
    closure = remade(twin_model, (x, y), cross_entropy, twin)
    for _ in range(8):
        twin.step(closure)
    assert optimizer.evaluations <= twin.evaluations + 1


def test_schedulers_groups_and_hooks_run():
    model, x, y = classification()
    groups = [{"params": model[0].parameters()}, {"params": model[2:].parameters(), "lr": 1.0}]
    optimizer = TrustRegion(groups)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    closure = trainer(model, x, y, optimizer)
    for _ in range(3):
        optimizer.step(closure)
        scheduler.step()
    assert len(seen) == 3
    assert all(group["radius"] > 0.0 for group in optimizer.param_groups)


SCHEDULERS = {
    "StepLR": lambda optimizer: lr_scheduler.StepLR(optimizer, 1, 0.5),
    "OneCycleLR": lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9),
    "CyclicLR": lambda optimizer: lr_scheduler.CyclicLR(optimizer, 0.1, 1.0),
    "ReduceLROnPlateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=0, threshold=0.99
    ),
}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_scheduler_changes_nothing_and_is_called_useless_once(scheduler):
    ends, said = [], []
    for make in (SCHEDULERS[scheduler], None):
        model, x, y = classification()
        optimizer = TrustRegion(model.parameters())
        closure = trainer(model, x, y, optimizer)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            scheduled = make(optimizer) if make else None
            for _ in range(5):
                loss = optimizer.step(closure)
                if scheduled:
                    scheduled.step(*[loss] * (scheduler == "ReduceLROnPlateau"))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        said.append([str(one.message) for one in heard])
    assert torch.equal(*ends)
    assert len(said[0]) == 1
    assert said[0][0].startswith("lr = ")
    assert "a scheduler can go" in said[0][0]
    assert not said[1]


def test_a_learning_rate_or_weight_decay_that_is_given_is_called_useless():
    model, _, _ = classification()
    with pytest.warns(UserWarning, match=r"lr = 0.001 in the parameter groups has no effect"):
        TrustRegion(model.parameters(), lr=1e-3)
    with pytest.warns(UserWarning, match=r"weight_decay = 0.1 .* belongs in the loss"):
        SAPTS([{"params": model.parameters(), "weight_decay": 0.1}])


def test_warnings_point_at_the_line_that_called():
    model, x, y = classification()
    some = list(model.parameters())[:2]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        optimizer = TrustRegion(some, lr=0.5)
        closure = trainer(model, x, y, optimizer)
        optimizer.step(closure)
    lines = [linecache.getline(one.filename, one.lineno).strip() for one in heard]
    assert lines == ["optimizer = TrustRegion(some, lr=0.5)", "optimizer.step(closure)"]


def end_of_sapts_d(*, clears=True, **options):
    """The parameters after three steps, (n,); a closure may forget to clear the gradients."""
    model, x, y = classification()
    optimizer = SAPTS(model.parameters(), variant="D", subdomains=4, **options)

    def closure(part):
        if clears:
            optimizer.zero_grad()
        loss = cross_entropy(model(part[0]), part[1])
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure, (x, y))
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_closure_that_forgets_to_clear_the_gradients_is_right_too():
    assert torch.equal(end_of_sapts_d(), end_of_sapts_d(clears=False))


def test_a_module_in_the_place_of_its_parameters_is_told():
    with pytest.raises(TypeError, match=r"Linear's parameters.*TrustRegion\(model\.parameters"):
        TrustRegion(torch.nn.Linear(2, 2))


def test_sapts_d_that_is_told_of_mini_batches_takes_the_options_that_suit_them():
    end = end_of_sapts_d
    by_hand = {"overlap": 0.0, "local_iterations": 8, "recombination": "mean"}
    assert torch.equal(end(stochastic=True), end(**by_hand))
    assert torch.equal(end(stochastic=False), end())
    assert not torch.equal(end(stochastic=True), end())


def test_gradients_of_an_earlier_call_are_not_taken_for_this_one_s():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    trainer(model, x, y, optimizer)()
    with pytest.raises(ValueError, match="left no gradient"):
        optimizer.step(lambda: cross_entropy(model(x), y))


def test_errors_say_what_to_do():
    model, x, y = classification()
    optimizer = SAPTS(model.parameters(), variant="D", subdomains=2)
    with pytest.raises(ValueError, match="step\\(\\) needs a closure"):
        optimizer.step(None)
    with pytest.raises(ValueError, match=r"call step\(closure, batch\)"):
        optimizer.step(trainer(model, x, y, optimizer))
    with pytest.raises(ValueError, match="must have one length"):
        optimizer.step(trainer(model, x, y, optimizer), (x, y[:-1]))
    with pytest.raises(ValueError, match="Did you mean"):
        SAPTS(model.parameters(), variant="sapts_dd")


GIVEN_GROUPS = {
    "trust region": lambda params: TrustRegion(params),
    "least squares": lambda params: TrustRegion(params, hessian="gauss_newton"),
    "layers": lambda params: SAPTS(params, variant="P", subdomains=2),
}


@pytest.mark.parametrize("kind", GIVEN_GROUPS)
def test_a_group_added_before_the_first_step_is_one_that_was_there(kind):
    """Libraries add the unknown coefficients of an inverse problem to an optimizer that exists."""
    x, y = torch.linspace(0.0, 1.0, 20)[:, None], torch.linspace(2.0, 3.0, 20)[:, None]

    def trained(added):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1))
        shift = nn.Parameter(torch.ones(1))
        groups = [{"params": list(net.parameters())}, {"params": [shift]}]
        optimizer = GIVEN_GROUPS[kind](groups[:1] if added else groups)
        if added:
            optimizer.add_param_group(groups[1])

        def closure():
            optimizer.zero_grad()
            residuals = net(x) + shift - y
            if kind == "least squares":
                return residuals
            loss = residuals.square().mean()
            loss.backward()
            return loss

        for _ in range(4):
            optimizer.step(closure)
        with pytest.raises(ValueError, match="has taken a step"):
            optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(1))]})
        return [*net.parameters(), shift], optimizer.state_dict()

    (late, state), (early, other) = trained(True), trained(False)
    assert all(torch.equal(a, b) for a, b in zip(late, early, strict=True))
    assert not torch.equal(late[-1], torch.ones(1))
    assert state["param_groups"] == other["param_groups"]


def test_a_parameter_without_elements_may_be_of_another_dtype():
    torch.manual_seed(0)
    net = nn.Linear(3, 1).double()
    nothing = nn.Parameter(torch.zeros(0, 1))
    x = torch.randn(9, 3, dtype=torch.float64)
    optimizer = TrustRegion([nothing, *net.parameters()], hessian="gauss_newton")
    for _ in range(9):
        optimizer.step(lambda: net(x) - 1.0)
    assert (net(x) - 1.0).square().mean().item() < 1e-12


def test_buffers_and_random_numbers_are_those_of_one_evaluation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 3))
    _, x, y = classification()
    x = x.float()
    optimizer = TrustRegion(model.parameters(), buffers=model.buffers())
    statistics = {key: value.clone() for key, value in model[1].named_buffers()}
    torch.manual_seed(1)
    optimizer.step(trainer(model, x, y, optimizer))
    after = torch.rand(1)
    assert optimizer.report.accepted
    reference = copy.deepcopy(model)  # where the step has ended
    reference[1].load_state_dict({**reference[1].state_dict(), **statistics})
    torch.manual_seed(1)
    reference(x)
    assert torch.equal(after, torch.rand(1))
    assert torch.equal(model[1].running_mean, reference[1].running_mean)
    assert model[1].num_batches_tracked == 1


def test_a_loss_that_is_not_finite_at_the_start_is_an_error():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    with pytest.raises(ValueError, match=r"is not finite where this step begins \(nan\)"):
        optimizer.step(trainer(model, x * float("nan"), y, optimizer))


@pytest.mark.parametrize("steps", [0, 3])
def test_after_a_loss_that_is_not_finite_training_goes_on(steps):
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters(), stochastic=True)
    good = trainer(model, x, y, optimizer)
    for _ in range(steps):
        optimizer.step(good)
    twin = copy.deepcopy((model, optimizer))
    with pytest.raises(ValueError, match="not finite"):
        optimizer.step(trainer(model, x * float("nan"), y, optimizer))
    assert optimizer.step(good) == twin[1].step(trainer(twin[0], x, y, twin[1]))
    pairs = zip(model.parameters(), twin[0].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_trial_where_the_gradient_is_nan_is_not_accepted():
    x = nn.Parameter(torch.tensor([1.0]))
    optimizer = TrustRegion([x])

    def closure():
        loss = x.sum()
        loss.backward()
        if loss < 0.5:
            x.grad.fill_(torch.nan)
        return loss

    for _ in range(20):
        optimizer.step(closure)
    assert 0.5 <= x.item() < 0.6
    with torch.no_grad():
        x.zero_()
    with pytest.raises(ValueError, match="or its gradient, is not finite"):
        optimizer.step(closure)


@pytest.mark.parametrize("change", ["freeze", "unfreeze"])
def test_freezing_a_parameter_later_is_refused(change):
    model, x, y = classification()
    first = next(model.parameters()).requires_grad_(change == "freeze")
    optimizer = TrustRegion(model.parameters())
    optimizer.step(trainer(model, x, y, optimizer))
    before = first.detach().clone()
    first.requires_grad_(change != "freeze")
    with pytest.raises(ValueError, match="make a new optimizer after freezing or unfreezing"):
        optimizer.step(trainer(model, x, y, optimizer))
    assert torch.equal(first, before)


def test_freezing_one_parameter_and_another_instead_is_refused():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)
    optimizer = TrustRegion([a, b])
    a.requires_grad_(False)
    b.requires_grad_(True)
    with pytest.raises(ValueError, match="the 1 parameters that have requires_grad are not the 1"):
        optimizer.step(lambda: (a * b).sum().backward())


def test_the_state_of_another_model_or_number_of_subdomains_is_refused():
    def small(n, subdomains=2):
        return SAPTS([nn.Parameter(torch.zeros(n))], variant="D", subdomains=subdomains)

    with pytest.raises(ValueError, match=r"has the shape \(5,\), and \(4,\) in this state"):
        small(5).load_state_dict(small(4).state_dict())
    with pytest.raises(ValueError, match=r"no solver for the subdomains \[2, 3\]"):
        small(4, 4).load_state_dict(small(4, 2).state_dict())
    model, _, _ = classification()
    saved = TrustRegion(model.parameters()).state_dict()
    model[0].requires_grad_(False)
    with pytest.raises(ValueError, match=r"6 parameters had .* and now 4 have it"):
        TrustRegion(model.parameters()).load_state_dict(saved)


@pytest.mark.parametrize("other", [{}, {"hessian": "lbfgs"}])
def test_the_state_of_another_method_is_refused(other):
    model, x, y = classification()
    saved = SAPTS(model.parameters(), variant="P", subdomains=2)
    if other:
        saved = TrustRegion(model.parameters(), hessian="ssbroyden")
    saved.step(trainer(model, x, y, saved))
    with pytest.raises(ValueError, match="another method"):
        TrustRegion(model.parameters(), **other).load_state_dict(saved.state_dict())


def test_a_closure_with_other_arguments_is_told_how_it_is_called():
    model, x, y = classification()
    optimizer = SAPTS(model.parameters(), variant="D", subdomains=2)
    with pytest.raises(ValueError, match=r"missing .* 'part'\); .* call step\(closure, batch\)"):
        optimizer.step(lambda part: part)
    with pytest.raises(ValueError, match=r"too many .* or call step\(closure\)"):
        optimizer.step(lambda: x, (x, y))


def test_layers_of_unnamed_tensors_are_those_of_the_model():
    ends = []
    for give in (nn.Module.parameters, nn.Module.named_parameters):
        model, x, y = classification()
        optimizer = SAPTS(give(model), variant="P", subdomains=2)
        optimizer.step(trainer(model, x, y, optimizer))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*ends)


def test_frozen_parameters_stay():
    model, x, y = classification()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    optimizer = TrustRegion(model.named_parameters())
    optimizer.step(trainer(model, x, y, optimizer))
    assert torch.equal(model[0].weight, before)


def test_a_single_number_among_the_parameters_is_trained_and_saved():
    model, x, y = classification()
    scale = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(scale * model(x), y)
        loss.backward()
        return loss

    optimizer = TrustRegion([*model.parameters(), scale])
    for _ in range(3):
        optimizer.step(closure)
    saved = copy.deepcopy(optimizer.state_dict()), [p.detach().clone() for p in model.parameters()]
    value = scale.detach().clone()
    assert value != 0.5
    optimizer.step(closure)
    after = scale.detach().clone()
    with torch.no_grad():
        scale.copy_(value)
        for parameter, kept in zip(model.parameters(), saved[1], strict=True):
            parameter.copy_(kept)
    optimizer = TrustRegion([*model.parameters(), scale])
    optimizer.load_state_dict(saved[0])
    optimizer.step(closure)
    assert torch.equal(scale.detach(), after)


def test_parameters_that_nobody_moves_are_warned_of():
    model, x, y = classification()
    optimizer = TrustRegion(list(model.parameters())[:2])

    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        return loss

    with pytest.warns(
        UserWarning, match=r"4 trainable tensor\(s\) that this optimizer was not given"
    ):
        optimizer.step(closure)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_copy_continues_bit_for_bit(kind):
    model, x, y = classification()
    optimizer = MAKERS[kind](model)
    optimizer.step(*arguments(kind, trainer(model, x, y, optimizer), x, y))
    pairs = [(model, optimizer), copy.deepcopy((model, optimizer))]
    first, second = (
        [opt.step(*arguments(kind, trainer(net, x, y, opt), x, y)).item() for _ in range(3)]
        for net, opt in pairs
    )
    assert first == second


def test_tensors_without_names_are_layers():
    model, _, _ = classification()
    optimizer = SAPTS(model.parameters(), variant="P", subdomains=2)
    assert len(optimizer._engine.index_sets) == 2


@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_a_closure_may_return_a_number(number):
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    closure = trainer(model, x, y, optimizer)
    first = closure().item()
    assert optimizer.step(lambda: number(closure().item())).item() == pytest.approx(first)
    assert closure().item() < first


class Clouds(NamedTuple):
    inputs: torch.Tensor
    labels: torch.Tensor


def test_a_batch_may_be_a_namedtuple_and_may_not_be_empty():
    ends = []
    for make in (Clouds, lambda *both: both):
        model, x, y = classification()
        optimizer = SAPTS(model.parameters(), variant="D")
        optimizer.step(trainer(model, x, y, optimizer), make(x, y))
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        with pytest.raises(ValueError, match="the batch is empty"):
            optimizer.step(trainer(model, x, y, optimizer), make(x[:0], y[:0]))
    assert torch.equal(*ends)


COUNTED = {
    "hybrid": {"parts": 2, "groups": 3},
    "sapts": {"decomposition": {"name": "data", "subdomains": 3}},
    "M": {},
    "trust_region": {},
}


@pytest.mark.parametrize("variant", COUNTED)
def test_a_variant_may_count_its_subdomains_in_its_own_way(variant):
    model, x, y = classification()
    optimizer = SAPTS(model.parameters(), variant=variant, **COUNTED[variant])
    first = cross_entropy(model(x), y).item()
    for _ in range(5):
        optimizer.step(trainer(model, x, y, optimizer), (x, y))
    assert cross_entropy(model(x), y).item() < first
    wanted = {"hybrid": 6, "sapts": 3, "M": 2, "trust_region": 0}[variant]
    assert len(optimizer._engine.solvers) == wanted


def test_splits_say_how_many_boxes_there_are():
    optimizer = SAPTS([nn.Parameter(torch.zeros(3))], variant="PINN", splits=[3, 2])
    assert len(optimizer._engine.solvers) == 6


def test_what_a_closure_lacks_is_said():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    for returned, message in (
        (lambda: None, "returned None"),
        (lambda: torch.ones(2), r"shape \(2,\)"),
        (lambda: True, "returned bool"),
        (lambda: torch.tensor(True), "torch.bool; it has to return the loss"),
        (lambda: cross_entropy(model(x), y), "loss.backward"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizer.step(returned)
    with pytest.raises(ValueError, match=r"Did you mean 'solver.norm'"):
        TrustRegion(model.parameters(), nrm="inf")


@pytest.mark.parametrize("retain", [False, True])
def test_a_forward_pass_outside_the_closure_is_told(retain):
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    outside = model(x)

    def closure():
        loss = cross_entropy(outside, y)
        loss.backward(retain_graph=retain)
        return loss

    if retain:
        closure()  # the graph survives this one
    else:
        outside.sum().backward()
    with pytest.raises(ValueError, match="put the whole forward pass inside the closure"):
        optimizer.step(closure)


def test_an_error_inside_a_closure_is_its_own():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        optimizer.step(lambda: cross_entropy(model(x[:, :1]), y))


def test_what_it_shows_of_itself_is_short():
    model, x, y = classification()
    optimizer = TrustRegion(model.parameters())
    optimizer.step(trainer(model, x, y, optimizer))
    assert "steps=1, radius=" in repr(optimizer)
    assert len(repr(optimizer)) < 200


def test_a_closure_cannot_be_cut_into_stages():
    model, _, _ = classification()
    with pytest.raises(ValueError, match="choose variant 'P'"):
        SAPTS(model.named_parameters(), variant="IP", subdomains=2)


def looks(steps, lengths, **options):
    """After which steps a deterministic loss is looked at again; ``lengths`` are the steps'."""
    changes, found = Changes(options.get("stochastic")), []
    for k in range(steps):
        if changes.due(k):
            found.append(k)
            assert changes.compared(1.0, 1.0, 2.0**-52)
        changes.stepped(lengths(k))
    return found


def test_a_loss_is_looked_at_again_where_something_asks_for_it():
    assert looks(300, lambda k: 1.0) == [64, 128, 256]
    # Nothing succeeds from the tenth step on: after 3, 6, 12, 24 rejections in a row.
    assert looks(40, lambda k: 1.0 if k < 10 else 0.0) == [13, 16, 22, 34]
    assert looks(300, lambda k: 0.0, stochastic=False) == []
    changes = Changes(None)
    assert not changes.compared(1.0, 1.1, 2.0**-52)
    assert changes.due(7)  # the next step tells new points from mini-batches
    assert not changes.compared(1.0, 1.1, 2.0**-52)
    assert changes.stochastic


def test_values_that_do_not_fit_the_slopes_ask_for_a_look():
    one = torch.ones(2, dtype=torch.float64)
    here, there = Point(0.0 * one, 1.0, -one), Point(0.5 * one, 0.25, -0.5 * one)
    assert misfit(here, there) == pytest.approx(0.0)  # of a quadratic, 1 − Σx + ½ Σx²
    other = Point(0.5 * one, 0.6, -0.5 * one)  # of another function
    assert misfit(here, other) > 0.5
    changes = Changes(None)
    changes.stepped(1.0, here, there)
    assert not changes.due(5)
    changes.stepped(1.0, here, other)
    assert changes.due(5)
    assert not changes.due(9)  # it was the same function: less is to be thought of the next misfit
    assert changes.due(10)


@pytest.mark.parametrize("draw", ["numpy", "next"])
def test_samples_that_a_closure_draws_by_itself_are_noticed(draw):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2048, 8, generator=generator)
    y = x.sin().sum(1, keepdim=True)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer, drawing = TrustRegion(model.parameters()), np.random.default_rng(0)
    batches = iter([torch.randint(0, 2048, (256,), generator=generator) for _ in range(200)])

    def closure():
        index = (
            torch.as_tensor(drawing.integers(0, 2048, 256)) if draw == "numpy" else next(batches)
        )
        loss = (model(x[index]) - y[index]).square().mean()
        loss.backward()
        return loss

    def train():
        for _ in range(20):
            optimizer.step(closure)

    with pytest.warns(UserWarning, match="it draws elsewhere"):
        train()
    assert optimizer.state_dict()["param_groups"][0]["steps"] == 20
    assert optimizer._start.changes.stochastic

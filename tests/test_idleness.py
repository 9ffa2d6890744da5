"""Convergence: it is said, and the closure is called for nothing no more."""

import copy

import pytest
import torch
from torch import nn

from ddopt.method.report import StepReport
from ddopt.optim import SAPTS, TrustRegion


def bowl():
    """f(x) = ‖x − 1‖²/2 + 3, of which no digit can be gained once x is near enough to 1."""
    x = nn.Parameter(torch.linspace(-1.0, 2.0, 5, dtype=torch.float64))
    calls = []
    centre = torch.ones(())

    def closure():
        calls.append(0)
        loss = 0.5 * (x - centre).square().sum() + 3.0
        loss.backward()
        return loss

    return x, closure, calls, centre


MAKERS = {
    "trust_region": lambda x: TrustRegion([x]),
    "layers": lambda x: SAPTS([x], variant="P", subdomains=1),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_run_that_has_converged_says_so_and_stops_calling(kind):
    x, closure, calls, _ = bowl()
    optimizer = MAKERS[kind](x)
    assert not optimizer.converged
    steps = 0
    while not optimizer.converged:
        optimizer.step(closure)
        steps += 1
        assert steps < 200
    assert torch.allclose(x, torch.ones(5, dtype=torch.float64), atol=1e-6)
    before = len(calls)
    for _ in range(1000):
        loss = optimizer.step(closure)
    assert loss == pytest.approx(3.0)
    assert len(calls) - before <= 12  # after 1, 2, 4, ..., 512 steps
    assert optimizer.evaluations == len(calls)


def test_a_function_that_is_known_to_stay_is_not_called_at_all():
    x, closure, calls, _ = bowl()
    optimizer = TrustRegion([x], stochastic=False)
    while not optimizer.converged:
        optimizer.step(closure)
    before = len(calls)
    for _ in range(100):
        optimizer.step(closure)
    assert len(calls) == before


@pytest.mark.parametrize("change", ["parameters", "function", "reset"])
def test_what_changes_begins_anew(change):
    x, closure, _, centre = bowl()
    optimizer = TrustRegion([x])
    while not optimizer.converged:
        optimizer.step(closure)
    if change == "parameters":
        with torch.no_grad():
            x.fill_(-3.0)
    elif change == "function":
        centre.fill_(2.0)
    else:
        optimizer.reset()
        assert not optimizer.converged
    for _ in range(60):
        optimizer.step(closure)
    wanted = 2.0 if change == "function" else 1.0
    assert torch.allclose(x, torch.full((5,), wanted, dtype=torch.float64), atol=1e-6)


def test_batches_never_converge():
    x, _, calls, _ = bowl()
    optimizer = TrustRegion([x])

    def closure(part):
        calls.append(0)
        loss = 0.5 * (x - part.mean(0)).square().sum()
        loss.backward()
        return loss

    batch = torch.ones(8, 5, dtype=torch.float64)
    for _ in range(60):
        optimizer.step(closure, batch)
    assert not optimizer.converged
    before = len(calls)
    optimizer.step(closure, batch)
    assert len(calls) > before


def test_losses_that_are_others_each_time_never_converge():
    x, closure, _, centre = bowl()
    optimizer = TrustRegion([x], stochastic=True)
    for step in range(60):
        centre.fill_(0.1 * (step % 2))
        optimizer.step(closure)
        assert not optimizer.converged


def test_convergence_is_saved_and_copied():
    x, closure, _, _ = bowl()
    optimizer = TrustRegion([x])
    while not optimizer.converged:
        optimizer.step(closure)
    other = TrustRegion([nn.Parameter(x.detach().clone())])
    other.load_state_dict(optimizer.state_dict())
    assert other.converged
    assert copy.deepcopy(optimizer).converged


def test_a_step_was_tried_by_solvers_that_do_not_count_theirs_too():
    assert not StepReport().tried
    assert StepReport(step_norm=0.1).tried
    assert StepReport(local_rejected=1).tried

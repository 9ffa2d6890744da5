"""Executors: the same numbers as serial, exactly or up to round-off, and one sentence where not."""

import warnings

import pytest
import torch

import ddopt
from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.derived import held
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Samples
from ddopt.evaluation.question import Value, asked
from ddopt.evaluation.scaled import Scaled
from ddopt.executor import Serial, shared
from ddopt.executor.batched import Batched
from ddopt.run.running import Run
from ddopt.testing import check_executor, run_ranks
from tests.golden import config, followed

CLOSE = 1e-9


def test_serial_and_batched_conform():
    check_executor(Serial())
    check_executor(Batched(), CLOSE)


@pytest.mark.ranks
def test_distributed_conforms():
    run_ranks(check_executor, 2)


def test_questions_behind_wrappers_and_shares_are_answered_together(small_regression):
    problem, theta = small_regression
    calls = 0

    def sums(named, samples):
        nonlocal calls
        calls += 1
        return problem._sums(named, samples)

    counted, meter = problem._but(_sums=sums), Meter()
    split, _ = shared(counted, 4, Serial())
    part = counted.part(Samples((torch.arange(9),)))
    wanted = torch.ones_like(theta)
    asked_of = [
        Metered(split, meter),
        Scaled(Metered(part, meter), 3.0),
        Consistent(Metered(part, meter), part.at(theta), wanted),
        Metered(held(counted, counted.at(theta), slice(0, 32)), meter),
    ]
    places = [theta, theta + 0.1, theta, theta[:32] + 0.1]
    alone = [f.at(x) for f, x in zip(asked_of, places, strict=True)]
    paid, calls, meter.total = meter.total, 0, 0.0
    pairs = enumerate(zip(asked_of, places, strict=True))
    questions = {d: asked(Value(f, x)) for d, (f, x) in pairs}
    found = Batched().carry_out(questions)
    assert calls < 2 + 4 + 3  # one for leaves that are alike, and one that is compared
    compared = split.cost  # the first is evaluated by itself as well, and charged as all are
    assert meter.total == pytest.approx(paid + compared)
    for d, point in enumerate(alone):
        assert found[d].value == pytest.approx(point.value, rel=1e-12)
        assert torch.equal(found[d].theta, point.theta)
        assert torch.allclose(found[d].gradient, point.gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("name", ["sapts_d", "sapts_m", "apts, batches", "sapts, adam", "hybrid"])
def test_a_batched_run_begins_like_a_serial_one_and_costs_as_much(name):
    one, other = (followed(Run(config(name), kind, None)) for kind in (Serial(), Batched()))
    for a, b in zip(one["losses"][:4], other["losses"][:4], strict=True):
        assert float.fromhex(b) == pytest.approx(float.fromhex(a), rel=1e-6)


def test_what_cannot_be_batched_is_evaluated_alone_and_said_once(small_regression):
    problem, theta = small_regression

    def branching(named, samples):
        (found,) = problem._sums(named, samples)
        return (found if float(found.detach()) > 0.0 else -found,)

    for f, why in (
        (problem._but(_sums=branching), "torch cannot batch its loss"),
        (problem._but(chunk=10), "in chunks"),
        (problem._but(_sums=lambda n, s: (problem._sums(n, s)[0] / len(s),)), None),
    ):
        executor = Batched()
        questions = lambda f=f: {d: asked(Value(f, theta + 0.1 * d)) for d in range(3)}  # noqa: E731
        if why is None:
            found = executor.carry_out(questions())
        else:
            with pytest.warns(UserWarning, match=why):
                found = executor.carry_out(questions())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = executor.carry_out(questions())
        for d in range(3):
            assert found[d].value == pytest.approx(f.at(theta + 0.1 * d).value, rel=1e-12)
            assert again[d].value == found[d].value


def test_a_script_and_a_run_file_name_their_executor(small_classification):
    model, x, y = small_classification
    optimizer = ddopt.SAPTS(model.parameters(), "D", 3, executor="batched")

    def closure(part):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(part[0]), part[1])
        loss.backward()
        return loss

    with pytest.warns(UserWarning, match="one after the other: ClosureProblem"):
        optimizer.step(closure, (x, y))
    with pytest.raises(ValueError, match=r"no executor named 'bached'\. Did you mean 'batched'"):
        ddopt.SAPTS(model.parameters(), "D", 3, executor="bached")

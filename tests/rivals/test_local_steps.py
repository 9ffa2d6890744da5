"""Local steps: with one worker and one step they are what is inside; meetings; outer steps."""

from itertools import pairwise

import pytest
import torch

from ddopt.compare.objective import Objective, Spent
from ddopt.setup.component import lookup
from ddopt.setup.config import Stop
from ddopt.task import Setting
from ddopt.testing.regression import Regression
from ddopt_rivals.local_steps import LocalAdamW


def iterates(name, evaluations=40, **options):
    """θ at every iterate that is told, and how many evaluations had been made."""
    found = []

    class Recorded(Objective):
        def iterate(self, theta, value):
            found.append((self._spent, theta.clone()))
            return super().iterate(theta, value)

    task = Regression()
    task.prepare(Setting())
    f = Recorded(task, None, Stop(evaluations=evaluations), 10)
    with pytest.raises(Spent):
        lookup("baseline", name)(rate=0.01, **options).minimise(f)
    return found


def test_one_worker_of_one_step_is_plain_adamw():
    plain = iterates("adamw")
    local = iterates("local_adamw", workers=1, steps=1)
    assert [spent for spent, _ in local] == [spent for spent, _ in plain]
    for (_, a), (_, b) in zip(local, plain, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-13)


def test_workers_that_see_the_same_do_the_same_and_all_of_it_is_charged():
    one = iterates("local_adamw", 31, workers=1, steps=5, cosine=False)
    three = iterates("local_adamw", 91, workers=3, steps=5, cosine=False)
    assert [spent for spent, _ in one] == [1, 6, 11, 16, 21, 26, 31]
    assert [spent for spent, _ in three] == [1, 16, 31, 46, 61, 76, 91]
    for (_, a), (_, b) in zip(one, three, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-13)


def test_the_outer_step_is_nesterovs_on_how_far_the_mean_is():
    """With Δ = θ − mean, v⁺ = μv + Δ and θ⁺ = θ − η(Δ + μv⁺); the mean is of a known walk."""

    class Walk(LocalAdamW):  # every worker walks by the same vector whatever the gradient is
        name = "walk"

        def optimizer(self, shaped):
            return torch.optim.SGD(shaped.parts, lr=1.0)

    class Flat(Objective):  # a gradient of ones
        def at(self, theta, *, known=False):
            value, _ = super().at(theta, known=known)
            return value, torch.ones_like(theta)

        def iterate(self, theta, value):
            told.append(theta.clone())
            return super().iterate(theta, value)

    told = []
    task = Regression()
    task.prepare(Setting())
    f = Flat(task, None, Stop(evaluations=25), 100)
    options = {"workers": 2, "steps": 3, "outer_rate": 0.7, "outer_momentum": 0.9}
    with pytest.raises(Spent):
        Walk(cosine=False, **options).minimise(f)
    moves = [float((b - a).mean()) for a, b in pairwise(told)]
    delta, v, wanted = 3.0, 0.0, []
    for _ in moves:
        v = 0.9 * v + delta
        wanted.append(-0.7 * (delta + 0.9 * v))
    assert moves == pytest.approx(wanted, rel=1e-12)


def test_workers_walk_on_mini_batches_of_their_own():
    from ddopt.sampling.batches import Batches

    sampling = Batches(size=9, overlap=0.0)
    sampling.prepare(0)
    seen = []

    class Recorded(Objective):
        def at(self, theta, *, known=False):
            seen.append(tuple(self._problem.samples.terms[0].tolist()))
            return super().at(theta, known=known)

    task = Regression()
    task.prepare(Setting())
    batches = 36 // 9
    f = Recorded(task, sampling, Stop(evaluations=1), 100)
    with pytest.raises(Spent):
        lookup("baseline", "diloco")(workers=2, steps=2).minimise(f)
    assert len(set(seen[:batches])) == batches

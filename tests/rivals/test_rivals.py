"""The optimizers of the field as baselines: what they solve, are charged, and need."""

import contextlib
import math
import sys
from importlib.util import find_spec

import pytest
import torch

from ddopt.compare.entry import opponents
from ddopt.compare.objective import Objective, Spent
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.meter import GRAPH, PRODUCT
from ddopt.evaluation.problem import Samples
from ddopt.numerics.space import Layout
from ddopt.run import chance
from ddopt.setup.component import lookup
from ddopt.setup.config import Stop
from ddopt.task import Setting, Task
from ddopt.testing import check_baseline
from ddopt_rivals import BASELINES
from ddopt_rivals.by_scipy import BFGS, TrustNCG
from ddopt_rivals.published import AdamW
from ddopt_rivals.shaped import Shaped
from tests.runs import write_run_file
from tests.test_cli import invoke

PACKAGED = {"kron", "lion", "muloco", "muon", "prodigy", "schedule_free", "shampoo", "soap"}
SECOND = {"adam_lbfgs", "bfgs", "lbfgsb", "ssbroyden", "torchmin", "trust_ncg"}
OF_RESIDUALS = {"engd_w", "spring"}  # tests/rivals/test_natural_gradient.py
RATES = {
    **{"adamw": 0.1, "kron": 0.1, "lion": 0.03, "muon": 6.0, "shampoo": 0.5, "soap": 0.1},
    **{"schedule_free": 0.1, "local_adamw": 0.1, "diloco": 0.1, "muloco": 6.0},
}
ROUNDS = {"steps": 5, "outer_momentum": 0.0}  # thirty rounds are few for a momentum of 0.9
MEETING = {name: ROUNDS for name in ("local_adamw", "diloco", "muloco")}
torchmin = pytest.mark.skipif(find_spec("torchmin") is None, reason="needs pytorch-minimize")
packaged = pytest.mark.skipif(
    find_spec("pytorch_optimizer") is None, reason="needs pytorch-optimizer"
)
MARKS = {**{name: [packaged] for name in PACKAGED}, "torchmin": [torchmin]}
ALL = [
    pytest.param(name, marks=MARKS.get(name, []))
    for name in sorted(BASELINES.keys() - OF_RESIDUALS)
]


class Matrices(Task):
    """Three matrices and a vector are pulled to known ones, along axes of unequal stiffness."""

    name = "matrices"

    def prepare(self, setting):
        random = torch.Generator().manual_seed(setting.seed)
        shapes = [torch.Size(s) for s in ((4, 3), (4, 4), (4,), (2, 4))]
        names = ("a.weight", "b.weight", "b.bias", "c.weight")
        layout = Layout(names, tuple(shapes), setting.dtype)
        self.solution = torch.randn(layout.size, generator=random).to(setting.dtype)
        stiff = torch.logspace(0.0, 1.0, layout.size).to(setting.dtype)
        wanted = dict(zip(names, self.solution.split(layout.sizes), strict=True))
        weights = dict(zip(names, stiff.split(layout.sizes), strict=True))

        def sums(named, samples):
            away = [(weights[n] * (named[n].reshape(-1) - wanted[n]) ** 2).sum() for n in names]
            return (sum(away) * len(samples.terms[0]),)

        self.problem = AutogradProblem(layout, sums, Samples.all(1))
        self.initial = torch.zeros(layout.size, dtype=setting.dtype)


class Stopped(Exception):  # noqa: N818
    """One step is enough."""


class Once:
    """An objective that can be evaluated once."""

    def __init__(self, f):
        self._f, self._seen = f, False

    def __getattr__(self, name):
        return getattr(self._f, name)

    def at(self, theta):
        if self._seen:
            raise Stopped
        self._seen = True
        return self._f.at(theta)


def given_to(name):
    return {**({"rate": RATES[name]} if name in RATES else {}), **MEETING.get(name, {})}


def minimised(name, evaluations, **options):
    chance.seed(0)
    task = Matrices()
    task.prepare(Setting())
    f = Objective(task, None, Stop(evaluations=evaluations), 10)
    given = given_to(name)
    baseline = lookup("baseline", name)(**{**given, **options})
    baseline.check()
    try:
        reason = baseline.minimise(f)
    except Spent as spent:
        reason = str(spent)
    f.finish()
    return f, reason


@pytest.mark.parametrize("name", ALL)
def test_each_solves_a_convex_problem(name):
    f, _ = minimised(name, 300)
    first, last = f.lines[0]["loss"], f.lines[-1]["loss"]
    assert last < (1e-20 if name in SECOND else 1e-2) * first
    assert f.lines[-1]["evaluations"] <= 300.0


@pytest.mark.parametrize("name", ALL)
def test_each_conforms(name):
    check_baseline(lookup("baseline", name)(**given_to(name)))


@pytest.mark.parametrize("name", [*sorted(PACKAGED), "bfgs", "trust_ncg", "ssbroyden"])
def test_what_is_missing_is_named_before_anything_runs(tmp_path, monkeypatch, name):
    missing = "pytorch_optimizer" if name in PACKAGED else "scipy.optimize"
    monkeypatch.setitem(sys.modules, missing, None)
    done = invoke(
        *("compare", write_run_file(tmp_path), "--against", name, "--out", tmp_path / "out"),
        *("--evaluations", 5, "--seeds", 1),
    )
    assert done.exit_code == 2
    assert f"baseline {name!r} needs {missing}" in done.output
    assert "pip install" in done.output
    assert "[rivals]" in done.output
    assert not (tmp_path / "out").exists()


def test_opponents_of_torch_alone_need_no_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    assert [one.name for one in opponents(None, ["adamw", "adam_lbfgs"])] == [
        "adamw",
        "adam_lbfgs",
    ]


def test_a_point_that_scipy_sees_twice_is_charged_once():
    f, reason = minimised("bfgs", 1000)
    assert reason == "line_search"
    seen = []

    class Recorded(Objective):
        def at(self, theta, *, known=False):
            seen.append(theta.clone())
            return super().at(theta, known=known)

    task = Matrices()
    task.prepare(Setting())
    again = Recorded(task, None, Stop(evaluations=1000), 10)
    BFGS().minimise(again)
    distinct = {tuple(theta.tolist()) for theta in seen}
    assert again.lines[-1]["loss"] == f.lines[-1]["loss"]
    assert again._spent <= len(distinct) + 2  # the last search is repeated, from the same point


def charged(baseline, evaluations):
    """f of a convex problem as ``baseline`` has left it, and what each call was charged with."""
    counts = []

    class Recorded(Objective):
        def count(self, evaluations):
            counts.append(evaluations)
            super().count(evaluations)

    task = Matrices()
    task.prepare(Setting())
    f = Recorded(task, None, Stop(evaluations=evaluations), 10)
    with contextlib.suppress(Spent):  # some go on at the solution
        baseline.minimise(f)
    return f, counts


def test_products_with_the_hessian_have_their_price():
    _, counts = charged(TrustNCG(), 60)
    assert counts.count(PRODUCT) > 1
    assert set(counts) == {1.0, GRAPH, PRODUCT}


def test_parts_have_the_shapes_of_the_layout_and_are_theta():
    task = Matrices()
    task.prepare(Setting())
    theta = torch.arange(float(task.problem.layout.size), dtype=torch.float64)
    shaped = Shaped(theta, task.problem.layout)
    assert torch.equal(shaped.theta, theta)
    shaped.give(2.0 * theta)
    assert [tuple(part.grad.shape) for part in shaped.parts] == [(4, 3), (4, 4), (4,), (2, 4)]
    assert torch.equal(torch.cat([part.grad.reshape(-1) for part in shaped.parts]), 2.0 * theta)
    hidden, others = shaped.hidden()
    assert [tuple(part.shape) for part in hidden] == [(4, 4)]
    assert len(others) == 3


def test_a_rate_falls_to_zero_along_a_cosine_over_the_budget():
    made = []

    class Kept(AdamW):
        name = "kept"

        def optimizer(self, shaped):
            made.append(super().optimizer(shaped))
            return made[-1]

    task = Matrices()
    task.prepare(Setting())
    for spent, share in ((10.0, 0.25), (20.0, 0.5), (40.0, 1.0)):
        f = Objective(task, None, Stop(evaluations=40), 10)
        f.count(spent - 1.0)
        with pytest.raises(Stopped):
            Kept(rate=0.3).minimise(Once(f))
        assert f.share == share
        assert made[-1].param_groups[0]["lr"] == 0.15 * (1.0 + math.cos(math.pi * share))


def test_the_answer_of_schedule_free_is_the_average(monkeypatch):
    pytest.importorskip("pytorch_optimizer")
    f, _ = minimised("schedule_free", 101)
    assert [line["evaluations"] for line in f.lines] == [*range(1, 101, 10), 101]
    assert f.lines[-1]["evaluations"] == 101.0


def test_adam_hands_over_to_lbfgs_at_its_share():
    f, _ = minimised("adam_lbfgs", 40, rate=0.01, first=0.5)
    losses = [line["loss"] for line in f.lines]
    assert losses[20] > 0.5 * losses[0]  # a rate too small to get anywhere
    assert losses[-1] < 1e-6 * losses[0]

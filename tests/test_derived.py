"""Wrappers hand on what they do not change: every ability, parts, geometry, draw; local ones alone.

Each wrapper is compared, ability by ability, with the same formula written for the whole vector.
"""

import inspect

import pytest
import torch

from ddopt.decomposition import Subdomain
from ddopt.decomposition.data import deal
from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.consistent import Consistent
from ddopt.evaluation.derived import Derived, Frozen, held
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Problem, Samples
from ddopt.evaluation.scaled import Scaled
from ddopt.executor import Serial, Split
from ddopt.numerics.space import Layout
from ddopt.numerics.vectors import Geometry
from ddopt.solver.pieces import Cut, Pieces
from ddopt.solver.unit import InUnit
from ddopt.testing.asking import Gate, Gated
from ddopt.testing.solver import Counted

N, M = 5, 12
FACTOR = 3.0
generator = torch.Generator().manual_seed(0)
A = torch.randn(M, N, generator=generator, dtype=torch.float64)
T = torch.randn(M, generator=generator, dtype=torch.float64)
ORIGIN = torch.randn(N, generator=generator, dtype=torch.float64)
THETA = torch.randn(N, generator=generator, dtype=torch.float64)
WANTED = torch.randn(N, generator=generator, dtype=torch.float64)
KEPT = torch.tensor([0, 2, 3])  # no whole tensor: the general wrapper is asked
SOME = Samples((torch.tensor([1, 4, 5, 9]),))


class Sines(AutogradProblem):
    """f = 1/m Σ (sin(a_i θ) − t_i)², which says where its samples lie and what it was asked for."""

    def __init__(self, samples=None):
        super().__init__(Layout.flat(N), self._squares, samples or Samples.all(M))
        self.geometry, self.draw = Geometry(), 7
        self.extra = None
        self.asked = []

    def _errors(self, theta, samples):
        i = samples.terms[0]
        return (A[i] @ theta).sin() - T[i]

    def _squares(self, named, samples):
        (theta,) = named.values()
        return (self._errors(theta, samples).square().sum(),)

    def residuals(self, theta):
        return self._errors(theta, self.samples) / self._counts[0] ** 0.5

    def both(self, theta):
        self.asked.append("both")
        return super().both(theta)

    def coordinates(self, term):
        return A

    def stages(self):
        return [slice(0, N)]


def frozen(f):
    return Frozen(f, ORIGIN, KEPT)


def consistent(f):
    return Consistent(f, f.at(ORIGIN), WANTED)


def scaled(f):
    return Scaled(f, FACTOR)


def metered(f):
    return Metered(f, Meter())


def split(f):
    return Split(f, 3, Serial())


def in_unit(f):
    return InUnit(f, FACTOR)


def gated(f):
    gate = Gate()
    gate.open = True
    return Gated(f, gate)


def pieces(f):
    return Pieces(f, Cut(N, 1, Serial()))


def expected(name, samples, weight=1.0):
    """The value, gradient, Hessian, residuals and Jacobian that a wrapper must have at its θ."""
    f = Sines(samples)
    theta = THETA.clone()
    if name == "frozen":
        theta = ORIGIN.clone()
        theta[KEPT] = THETA[: len(KEPT)]
    point = f.at(theta)
    hessian = torch.autograd.functional.hessian(f.loss, theta)
    value, g, r, J = point.value, point.gradient, f.residuals(theta), f.jacobian(theta)
    if name == "consistent":
        whole = Sines()
        tilt = weight * (WANTED - whole.at(ORIGIN).gradient)
        value, g = value + float(tilt @ (theta - ORIGIN)), g + tilt
    if name in ("scaled", "in unit"):
        value, g, hessian = FACTOR * value, FACTOR * g, FACTOR * hessian
        r, J = FACTOR**0.5 * r, FACTOR**0.5 * J
    if name == "frozen":
        g, hessian, J = g[KEPT], hessian[KEPT][:, KEPT], J[:, KEPT]
    return value, g, hessian, r, J


WRAPPERS = {
    "counted": Counted,
    "frozen": frozen,
    "consistent": consistent,
    "scaled": scaled,
    "in unit": in_unit,
    "metered": metered,
    "gated": gated,
    "split": split,
}


def check(found, name, samples):
    theta = THETA[: found.layout.size]
    value, g, hessian, r, J = expected(name, samples)
    if isinstance(found, Split):  # residuals come share after share
        order = torch.cat([share.terms[0] for share in deal(samples.counts, found.count)])
        r, J = r[order], J[order]
    for point in (found.at(theta), found.both(theta)):
        assert torch.equal(point.theta, theta)
        assert point.value == pytest.approx(value, rel=1e-12)
        assert torch.allclose(point.gradient, g, rtol=1e-12)
    multiply, (product, pullback) = found.curvature(theta), found.differential(theta)
    for i, v in enumerate(torch.eye(len(theta), dtype=theta.dtype)):
        assert torch.allclose(multiply(v), hessian[i], rtol=1e-10, atol=1e-12)
        assert torch.allclose(product(v), J[:, i], rtol=1e-10, atol=1e-12)
    w = torch.ones(len(r), dtype=theta.dtype)
    assert torch.allclose(pullback(w), J.T @ w, rtol=1e-10, atol=1e-12)
    assert torch.allclose(found.residuals(theta), r, rtol=1e-12)
    assert torch.allclose(found.jacobian(theta), J, rtol=1e-12)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_wrapper_has_every_ability_of_what_is_in_it(name):
    f = Sines()
    check(WRAPPERS[name](f), name, f.samples)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_part_of_a_wrapper_is_the_wrapper_of_a_part(name):
    part = WRAPPERS[name](Sines()).part(SOME)
    assert part.cost == pytest.approx(len(SOME) / M)
    check(part, name, SOME)


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_shares_of_a_wrapper_add_up_to_it(name):
    found = WRAPPERS[name](Sines())
    theta = THETA[: found.layout.size]
    halves = [found.share(Samples((torch.arange(i, M, 2),))).both(theta) for i in range(2)]
    whole = found.at(theta)
    assert sum(half.value for half in halves) == pytest.approx(whole.value, rel=1e-12)
    assert torch.allclose(sum(half.gradient for half in halves), whole.gradient, rtol=1e-12)


@pytest.mark.parametrize("name", [*WRAPPERS, "pieces"])
def test_a_wrapper_keeps_geometry_and_draw_and_the_cheap_way_to_both(name):
    f = Sines()
    found = {**WRAPPERS, "pieces": pieces}[name](f)
    theta = torch.zeros(found.layout.size, dtype=torch.float64)
    f.asked.clear()
    found.both(theta)
    assert f.asked or name == "split"  # which asks its shares
    assert found.draw == 7
    assert found.geometry is f.geometry or name == "pieces"
    assert found.cost == f.cost
    assert found.samples is f.samples
    if name != "pieces":
        assert torch.equal(found.coordinates(0), A)
        assert found.stages() == [slice(0, N)]
        assert found.drawn(1).draw == f.drawn(1).draw
        assert found.alone.at(theta).value == pytest.approx(found.at(theta).value, rel=1e-12)


@pytest.mark.parametrize("name", WRAPPERS)
def test_an_opened_wrapper_sees_the_point_that_it_would_have_found(name):
    found = WRAPPERS[name](Sines())
    theta = THETA[: found.layout.size]
    places, seen = found.opened(theta)
    opened, point = seen([inner.at(there) for inner, there in places]), found.at(theta)
    assert type(opened) is type(point)
    assert torch.equal(opened.theta, theta)
    assert opened.value == point.value
    assert torch.equal(opened.gradient, point.gradient)


def wrappers(kind=Derived):
    """Every wrapper that there is, once its module is imported."""
    for one in kind.__subclasses__():
        yield one
        yield from wrappers(one)


def test_every_wrapper_of_the_core_is_tested_here():
    made = {type(make(Sines())) for make in WRAPPERS.values()}
    core = {one for one in wrappers() if one.__module__.startswith("ddopt.")}
    assert core - {Derived} <= made


def test_the_cheaper_way_to_some_parameters_is_taken_where_there_is_one():
    f = Sines()
    point = f.at(THETA)
    assert f.frozen(point, KEPT) is f.frozen(point, None) is None  # no whole tensor, and no cut
    assert isinstance(held(f, point, KEPT), Frozen)
    assert held(f, point, None) is f
    whole = torch.arange(N)  # the only tensor that there is
    assert type(held(f, point, whole)) is Sines
    for wrapper in (scaled, metered):
        assert type(held(wrapper(f), point, whole).problem) is Sines
        assert isinstance(held(wrapper(f), point, KEPT).problem, Frozen)


def test_local_problems_have_no_additional_samples():
    f = Sines()
    f.extra = f.part(SOME)
    point = f.at(THETA)
    half = Samples((torch.arange(6),))
    for subdomain in (
        Subdomain(0, indices=slice(0, N)),
        Subdomain(0, indices=KEPT),
        Subdomain(0, samples=half),
        Subdomain(0, samples=half, proportional=True),
        Subdomain(0, indices=KEPT, samples=half),
    ):
        for problem in (f, metered(f), split(f), metered(split(f))):
            assert subdomain.objective(problem, point).extra is None
    assert metered(f).extra.cost == split(f).extra.cost == pieces(f).extra.cost == f.extra.cost


def test_a_part_of_a_share_keeps_the_weights_of_the_share():
    # two terms of 4 and 8 samples; the share holds all of the first and a quarter of the second
    def sums(named, samples):
        (theta,) = named.values()
        a, b = samples.terms
        return (A[a] @ theta).square().sum(), (A[4 + b] @ theta).exp().sum()

    f = AutogradProblem(Layout.flat(N), sums, Samples.all(4, 8))
    share = f.share(Samples((torch.arange(4), torch.tensor([0, 5]))))
    assert share.part(share.samples).at(THETA).value == share.at(THETA).value
    halves = [Samples((torch.arange(i, 4, 2), torch.tensor([5 * i]))) for i in range(2)]
    mean = sum(0.5 * share.part(half).at(THETA).value for half in halves)
    assert mean == pytest.approx(share.at(THETA).value, rel=1e-12)
    assert Scaled(share, 2.0).part(halves[0]).at(THETA).value == pytest.approx(
        2.0 * share.part(halves[0]).at(THETA).value
    )


def test_no_ability_is_forgotten_by_the_base_of_the_wrappers():
    abilities = {
        name
        for name, found in vars(Problem).items()
        if not name.startswith("_") and (inspect.isfunction(found) or isinstance(found, property))
    }
    own = {
        "frozen",  # ``held`` wraps, where nothing else is said
        "linearised",  # of this wrapper's own Jacobian
        "ability",  # of what a wrapper stands for without changing it; Metered hands it on
    }
    assert abilities - vars(Derived).keys() == own
    assert abilities >= {"at", "both", "part", "curvature", "residuals", "jacobian", "path"}

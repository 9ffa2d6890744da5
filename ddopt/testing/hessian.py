"""The check of Hessian approximations."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import torch

from ddopt.hessian import Model
from ddopt.numerics.vectors import norm
from ddopt.testing.conduct import bits, check_conduct, fresh, untouched
from ddopt.testing.problems import rotated_quadratic
from ddopt.testing.start import begin, normal
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.hessian import Hessian

LEARNT = 0.95  # of the error for a pair, at most, is left when it has been learnt
POINTS = 8  # visited, to see how many are kept


@told
def check_hessian(hessian: Hessian, problem: Problem | None = None, *, ranks: bool = True) -> None:
    """The model is linear and symmetric, agrees with its gradient, learns, and is restored."""
    problem, theta = begin(problem)
    point = problem.at(theta)
    n = problem.layout.size
    trained = fresh(hessian)
    for i in range(3):
        update(trained, problem, point, i)
    model = _model(trained, problem, point)
    u, v = (normal(n, 100 + i).to(theta) for i in range(2))
    with untouched(hessian, "mv()", vector=u, gradient=point.gradient, theta=theta):
        Bu = model.mv(u)
        kept = bits(Bu)
        Bv = model.mv(v)
    require(
        bits(Bu) == kept,
        hessian,
        "what mv() returned has changed after a later call: it returns a buffer of its own; return "
        "a new tensor",
    )
    right = isinstance(Bu, torch.Tensor) and Bu.shape == u.shape and Bu.dtype == u.dtype
    require(right, hessian, f"mv() must give a tensor of shape ({n},) and {u.dtype}")
    require(bool(Bu.isfinite().all()), hessian, "mv() gives NaN or ∞ at a point where f is finite")
    sum_error = norm(model.mv(u + 2.0 * v) - Bu - 2.0 * Bv)
    require(sum_error <= 1e-8 * max(norm(Bu) + norm(Bv), 1e-300), hessian, "B must be linear")
    scale = max(norm(Bu) * norm(v), norm(Bv) * norm(u), 1e-300)
    require(abs(float(Bu @ v - Bv @ u)) <= 1e-8 * scale, hessian, "B must be symmetric")
    require(
        torch.equal(model.gradient, point.gradient)
        or norm(model.gradient - point.gradient) <= 1e-12 * norm(point.gradient),
        hessian,
        "the model's gradient must be the point's",
    )

    def advance(one: Any, i: int) -> Any:
        update(one, problem, point, i)
        return _model(one, problem, point).mv(u)

    check_conduct(hessian, advance, "model().mv()", ranks=ranks)
    trained.reset()
    require(
        bits(_model(trained, problem, point).mv(u))
        == bits(_model(fresh(hessian), problem, point).mv(u)),
        hessian,
        "after reset() the model must be that of a new object: pairs of another problem are wrong",
    )
    if hessian.learns:
        _check_odd_pairs(hessian, problem, point, u)
        _check_learning(hessian, problem, point)
        _check_copies(hessian, problem, point, u)
    _check_memory(hessian, problem, theta)


def _model(hessian: Any, problem: Problem, point: Point) -> Model:
    with untouched(hessian, "model()", theta=point.theta, gradient=point.gradient):
        model = hessian.model(problem, point)
    require(
        isinstance(model, Model), hessian, f"model() must return a ddopt.Model; it returned {model}"
    )
    return model


def _pair(problem: Problem, point: Point, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    s = 1e-2 * normal(problem.layout.size, seed).to(point.theta)
    return s, problem.at(point.theta + s).gradient - point.gradient


def update(hessian: Any, problem: Problem, point: Point, seed: int) -> None:
    """Teach it a pair that follows from a seed, and see that it leaves the pair alone."""
    s, y = _pair(problem, point, seed)
    with untouched(hessian, "update()", s=s, y=y, theta=point.theta):
        hessian.update(s, y)


def _check_learning(hessian: Hessian, given: Problem, point: Point) -> None:
    """On a convex quadratic: the last pair is known better than before, and not with its sign.

    One that needs a problem of its own learns how f bends along the steps on that.
    """
    problem: Problem = rotated_quadratic(condition=30.0)
    try:
        _model(fresh(hessian), problem, problem.at(normal(problem.layout.size, 3)))
    except ValueError:  # in words: another problem is wanted
        problem = given
    else:
        point = problem.at(normal(problem.layout.size, 3))
    learner = fresh(hessian)
    s, y = _pair(problem, point, 0)
    before = norm(_model(learner, problem, point).mv(s) - y)
    for seed in (1, 2, 0):
        update(learner, problem, point, seed)
    model = _model(learner, problem, point)
    Bs = model.mv(s)
    require(
        norm(model.mv(y) - s) > 1e-6 * norm(s),
        hessian,
        "it has learned B y = s from update(s, y), and must learn B s = y: s and y are in each "
        "other's place",
    )
    require(
        float(Bs @ s) >= 0.0,
        hessian,
        "on a convex function it has learned that f bends down along the last step s: B s must "
        "have the sign of y = ∇f(θ + s) − ∇f(θ); look for s and y in each other's place, or −y",
    )
    require(
        norm(Bs - y) < LEARNT * before,
        hessian,
        f"update() teaches it nothing: ‖B s − y‖ is {norm(Bs - y):g} for the last pair, and "
        f"{before:g} before any; if it makes no use of pairs, set learns = False",
    )


def _check_odd_pairs(hessian: Hessian, problem: Problem, point: Point, u: torch.Tensor) -> None:
    """Where f is flat or bends down along a step, the model stays one of numbers."""
    for place, share in (("is flat", 0.0), ("bends down", -1.0)):
        one = fresh(hessian)
        _model(one, problem, point)
        s, _ = _pair(problem, point, 0)
        one.update(s, share * s)
        for _ in range(2):  # with the odd pair last, and another one after it
            require(
                bool(_model(one, problem, point).mv(u).isfinite().all()),
                hessian,
                f"after a step s along which f {place} (y = {share:g} s) mv() gives NaN or ∞: "
                "update() must leave such a pair out, or divide by nothing that may be 0",
            )
            update(one, problem, point, 1)


def _check_copies(hessian: Hessian, problem: Problem, point: Point, u: torch.Tensor) -> None:
    """Pairs are copied: whoever gave them may write over them."""
    one, other = fresh(hessian), fresh(hessian)
    for seed in range(2):
        s, y = _pair(problem, point, seed)
        one.update(s, y)
        update(other, problem, point, seed)
        s.zero_(), y.fill_(1.0)
    require(
        bits(_model(one, problem, point).mv(u)) == bits(_model(other, problem, point).mv(u)),
        hessian,
        "update() keeps the tensors s and y themselves; they belong to the caller: keep copies",
    )


def _check_memory(hessian: Hessian, problem: Problem, theta: torch.Tensor) -> None:
    """Points hold gradients and graphs; a model may keep the last one."""
    one, seen = fresh(hessian), []
    for seed in range(POINTS):
        point = problem.at(theta + 1e-2 * normal(len(theta), seed).to(theta))
        _model(one, problem, point)
        seen.append(weakref.ref(point))
        del point
    gc.collect()
    alive = sum(ref() is not None for ref in seen)
    require(
        alive <= 2,
        hessian,
        f"it keeps {alive} of {POINTS} points that it made models of; each holds the graph of f, "
        "so memory grows with every iteration: keep numbers, or the last point only",
    )

"""Conformance checks for components from anywhere: what the engine relies on, stated and tested.

Each check raises ``AssertionError`` with a sentence that says what is wrong. They are what ddopt's
own tests use.
"""

from __future__ import annotations

import io
import math
import pickle
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from ddopt.decomposition import validate
from ddopt.evaluation.derived import Consistent
from ddopt.evaluation.meter import Meter, Metered
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.evaluation.question import answered
from ddopt.numerics.vectors import norm
from ddopt.task import Setting, prepare
from ddopt.testing.asking import Gate, Gated
from ddopt.testing.problems import regression

if TYPE_CHECKING:
    from ddopt.acceptance import Acceptance
    from ddopt.decomposition import Decomposition
    from ddopt.hessian import Hessian
    from ddopt.solver import Solver
    from ddopt.subproblem import Subproblem
    from ddopt.task import Task


def check_decomposition(decomposition: Decomposition, problem: Problem | None = None) -> None:
    """The subdomains are numbered, cover everything, and can be solved consistently."""
    problem, theta = (problem, None) if problem is not None else regression()
    n = problem.layout.size
    theta = torch.zeros(n, dtype=problem.layout.dtype) if theta is None else theta
    subdomains = decomposition.split(problem)
    again = decomposition.split(problem)
    try:
        covered = validate(subdomains, n)
    except ValueError as error:
        raise AssertionError(str(error)) from None
    seen: list[set[int]] = [set() for _ in (problem.samples.counts if problem.samples else ())]
    for subdomain, twin in zip(subdomains, again, strict=True):
        part = subdomain.restrict(theta)
        assert torch.equal(part, twin.restrict(theta)), "split() must give the same answer twice"
        assert torch.equal(subdomain.restrict(subdomain.prolong(part + 1.0, n)), part + 1.0), (
            f"subdomain {subdomain.index}: restrict(prolong(v)) must be v"
        )
        own = subdomain.samples or problem.samples
        for term, indices in enumerate(own.terms if own else ()):
            seen[term] |= set(indices.tolist())
        _check_consistency(problem, theta, subdomain)
    assert bool(covered.all()), (
        f"parameters {(~covered).nonzero().flatten().tolist()[:10]} belong to no subdomain"
    )
    if problem.samples is not None:
        for term, indices in enumerate(problem.samples.terms):
            missing = sorted(set(indices.tolist()) - seen[term])
            assert not missing, f"samples {missing[:10]} of term {term} belong to no subdomain"


def _check_consistency(problem: Problem, theta: torch.Tensor, subdomain: object) -> None:
    """∇f̃_d(θ_k) = R_d g_k."""
    point = problem.at(theta)
    local = subdomain.objective(problem, point)  # type: ignore[attr-defined]
    wanted = subdomain.restrict(point.gradient)  # type: ignore[attr-defined]
    origin = local.at(subdomain.restrict(theta))  # type: ignore[attr-defined]
    found = Consistent(local, origin, wanted).at(origin.theta).gradient
    assert norm(found - wanted) <= 1e-10 * max(norm(wanted), 1e-300), (
        "the consistent local gradient must be the restricted global gradient"
    )


def check_acceptance(acceptance: Acceptance) -> None:
    """The policy takes what is as good as promised, refuses what is not finite, and is restored."""
    values = [8.0, 4.0, 2.0, 1.0]
    for before, after in pairwise(values):
        verdict = acceptance.judge(before, after, before - after)
        assert verdict.accepted, "a step that brings what was promised must be taken"
    for trial in (math.nan, math.inf):
        assert not acceptance.judge(1.0, trial, 1.0).accepted, f"a trial of {trial} must be refused"
    assert not acceptance.judge(1.0, 1e3, 1.0).accepted, (
        "a trial a thousand times as high as every value before must be refused"
    )
    twin = type(acceptance)(acceptance.config)
    twin.load_state_dict(_saved(acceptance.state_dict()))
    trials = [(1.0, 1.5, 0.5), (1.0, 0.9, 0.2), (0.9, 3.0, 0.1), (0.9, 0.8, 0.1)]
    verdicts = [(acceptance.judge(*trial), twin.judge(*trial)) for trial in trials]
    assert all(a == b for a, b in verdicts), "a restored policy must judge alike"
    acceptance.reset()
    fresh = type(acceptance)(acceptance.config)
    verdicts = [(acceptance.judge(*trial), fresh.judge(*trial)) for trial in trials]
    assert all(a == b for a, b in verdicts), "after reset() earlier values must be forgotten"


def _saved(state: Any) -> Any:
    """A state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        return torch.load(buffer, weights_only=True)
    except pickle.UnpicklingError as error:
        raise AssertionError(
            f"a state must be made of tensors, numbers, strings, lists and dicts: {error}"
        ) from None


def check_task(task: Task) -> None:
    """A problem follows from its seed, is differentiated rightly, and is the sum of its shares."""
    twin = type(task)(task.config)
    for one in (task, twin):
        prepare(one, Setting(seed=3))
    problem, theta = task.problem, task.initial
    point, again = problem.at(theta), twin.problem.at(twin.initial)
    assert torch.equal(theta, twin.initial), "the same seed must give the same first parameters"
    assert point.value == again.value, "the same seed must give the same loss"
    assert theta.dtype == problem.layout.dtype, "initial must have the dtype of the layout"
    g = point.gradient
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
    length = 1e-6 * max(norm(theta), 1.0) / norm(v)
    ends = [problem.at(theta + sign * length * v).value for sign in (1.0, -1.0)]
    slope, found = (ends[0] - ends[1]) / (2.0 * length), float(g @ v)
    assert abs(slope - found) <= 1e-4 * max(norm(g) * norm(v), 1e-8), (
        f"the gradient says that the loss changes by {found:g} along a direction; it is {slope:g}"
    )
    assert problem.at(theta).value == point.value, "the loss must be a function of theta alone"
    if problem.samples is not None:
        halves = [Samples(tuple(term[i::2] for term in problem.samples.terms)) for i in range(2)]
        whole = sum(problem.share(half).at(theta).value for half in halves)
        assert abs(whole - point.value) <= 1e-10 * max(abs(point.value), 1e-300), (
            f"the shares of two halves of the samples add up to {whole:g}, the loss is "
            f"{point.value:g}: sums() must return the sum over the samples that it is given"
        )
    for name, figure in task.measure(theta).items():
        assert isinstance(figure, float), f"measure() must give numbers; {name} is {figure!r}"
    twin.load_state_dict(_saved(task.state_dict()))
    following = task.proceed(theta)
    if following is not None:
        value = task.problem.at(following).value
        twin = type(task)(task.config)
        prepare(twin, Setting(seed=3))
        twin.load_state_dict(_saved(task.state_dict()))
        assert twin.problem.layout.size == len(following), (
            "after proceed(), state_dict() must say which problem it is the turn of"
        )
        assert twin.problem.at(following).value == value, (
            "load_state_dict() must set the problem that proceed() has set, and state_dict() hold "
            "all that it depends on"
        )


def check_solver(solver: Solver, problem: Problem | None = None) -> None:
    """The solver asks and does not evaluate, decreases f, tells the truth, stays in its ball."""
    problem, theta = (problem, None) if problem is not None else regression()
    theta = torch.zeros(problem.layout.size, dtype=problem.layout.dtype) if theta is None else theta
    start, gate = problem.at(theta), Gate()
    gated = Gated(problem, gate)
    for ball in (1e-2, math.inf):
        answer = answered(solver.iterate(gated, start, ball, 10), gate.tell)
        assert norm(answer.step) <= ball * (1 + 1e-9), "the accumulated step must stay in the ball"
        assert torch.equal(answer.end.theta, theta + answer.step) or torch.allclose(
            answer.end.theta, theta + answer.step, rtol=1e-14, atol=1e-15
        ), "the answer's step must lead from the start to the answer's end"
        assert answer.decrease == start.value - answer.end.value, (
            "decrease must be f(start) - f(end)"
        )
        assert answer.end.value <= start.value, "ten iterations must not end higher than they began"
    _check_restored(solver, problem, start)


def check_walk(solver: Solver, problem: Problem | None = None) -> None:
    """A walk on micro-batches learns, promises a decrease, pays for its passes, keeps to its ball.

    For solvers that are ``stochastic``: nobody has evaluated f at the end of a walk, so what
    ``check_solver`` asks of ``end`` and ``decrease`` cannot be asked of them.
    """
    problem, theta = (problem, None) if problem is not None else regression()
    theta = torch.zeros(problem.layout.size, dtype=problem.layout.dtype) if theta is None else theta
    start, gate = problem.at(theta), Gate()
    assert solver.stochastic, "a walk says stochastic = True, and the engine evaluates its end"
    for ball in (1e-2, math.inf):
        meter = Meter()
        gated = Gated(Metered(problem, meter), gate)
        answer = answered(solver.iterate(gated, start, ball, 10), gate.tell)
        assert norm(answer.step) <= ball * (1 + 1e-6), "the accumulated step must stay in the ball"
        assert answer.end is start, "the end of a walk is not evaluated: the answer gives its start"
        assert answer.decrease > 0.0, "what the gradients promised must be positive"
        assert math.isclose(meter.total, 10 * problem.cost), (
            f"ten passes cost {10 * problem.cost:g} gradients, and {meter.total:g} were evaluated"
        )
    end = problem.at(theta + answer.step).value
    assert end < start.value, f"twenty passes must learn: f went from {start.value:g} to {end:g}"
    _check_restored(solver, problem, start)


def _check_restored(solver: Solver, problem: Problem, start: Point) -> None:
    """The state holds everything that the next step depends on."""
    twin = type(solver)(solver.config)
    twin.load_state_dict(solver.state_dict())
    a = solver.solve(problem, start, math.inf, 3)
    b = twin.solve(problem, start, math.inf, 3)
    assert torch.equal(a.step, b.step), "a restored solver must take the same step, bit for bit"


def check_hessian(hessian: Hessian, problem: Problem | None = None) -> None:
    """The model is linear and symmetric, and agrees with the gradient it was made from."""
    problem, theta = (problem, None) if problem is not None else regression()
    theta = torch.zeros(problem.layout.size, dtype=problem.layout.dtype) if theta is None else theta
    point = problem.at(theta)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        s = 1e-2 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        hessian.update(s, problem.at(theta + s).gradient - point.gradient)
    model = hessian.model(problem, point)
    u, v = (torch.randn(theta.shape, generator=generator, dtype=theta.dtype) for _ in range(2))
    Bu, Bv = model.mv(u), model.mv(v)
    scale = max(norm(Bu) * norm(v), norm(Bv) * norm(u), 1e-300)
    assert abs(float(Bu @ v - Bv @ u)) <= 1e-8 * scale, "B must be symmetric"
    sum_error = norm(model.mv(u + 2.0 * v) - Bu - 2.0 * Bv)
    assert sum_error <= 1e-8 * max(norm(Bu) + norm(Bv), 1e-300), "B must be linear"
    assert torch.equal(model.gradient, point.gradient), "the model's gradient must be the point's"


def check_subproblem(subproblem: Subproblem, hessian: Hessian) -> None:
    """The step stays in the ball, keeps its promise, and beats the Cauchy step."""
    from ddopt.subproblem.cauchy import Cauchy

    problem, theta = regression()
    point = problem.at(theta)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        s = 1e-2 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        hessian.update(s, problem.at(theta + s).gradient - point.gradient)
    model = hessian.model(problem, point)
    for radius in (1e-4, 1e-1, 1e2):
        candidate = subproblem.solve(model, radius)
        p = candidate.step
        promise = -float(model.gradient @ p) - 0.5 * float(p @ model.mv(p))
        assert norm(p) <= radius * (1 + 1e-9), f"the step is longer than the radius {radius}"
        assert abs(promise - candidate.predicted) <= 1e-6 * abs(promise), (
            "predicted must be the decrease of the model along the step"
        )
        cauchy = Cauchy().solve(model, radius).predicted
        assert candidate.predicted >= cauchy * (1 - 1e-9), "the step is worse than the Cauchy step"

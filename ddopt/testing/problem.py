"""The check of problems: f, its derivatives, its parts, and whatever else it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.problem import Samples
from ddopt.numerics.vectors import norm
from ddopt.testing.conduct import bits, untouched
from ddopt.testing.start import normal
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.evaluation.problem import Problem

CLOSE = 1e-4  # of a central difference, relative
EXACT = 1e-10  # of what differs by round-off alone


@told
def check_problem(problem: Problem, theta: torch.Tensor) -> None:
    """Values, gradients, parts, products and residuals belong to one f, near ``theta`` (n,).

    For problems of one's own, and above all for wrappers (``ddopt.evaluation.derived.Derived``): a
    wrapper that changes f changes what each of its abilities gives. Abilities that the problem says
    that it lacks are passed over. ``theta`` is of float64: derivatives are compared with central
    differences.
    """
    check_value(problem, problem, theta)
    there = near(theta)
    check_gradient(problem, problem, there)
    samples = problem.samples
    if samples is not None and _able(lambda: problem.share(samples)) is not None:
        check_shares(problem, problem, theta)
    _check_curvature(problem, there)
    _check_residuals(problem, there)


def near(theta: torch.Tensor) -> torch.Tensor:
    """A random point near ``theta`` (n,), so that nothing is zero by accident."""
    return theta + 0.05 * normal(len(theta), 1).to(theta)


def _able(ask: Callable[[], Any]) -> Any:
    """The answer, or None where the problem says that it cannot."""
    try:
        return ask()
    except ValueError as error:
        if "cannot" in str(error):
            return None
        raise


def _direction(theta: torch.Tensor) -> tuple[torch.Tensor, float]:
    """v (n,), and the half length of a central difference along it, per ‖v‖."""
    v = normal(len(theta), 0).to(theta)
    return v, 1e-6 * max(norm(theta), 1.0) / norm(v)


def check_value(owner: Any, problem: Problem, theta: torch.Tensor) -> None:
    """f depends on θ alone, and is a number; ``owner`` is who is told."""
    terms = problem.samples.terms if problem.samples is not None else ()
    given = {f"samples.terms[{i}]": term for i, term in enumerate(terms)}
    with untouched(owner, "evaluating the loss", theta=theta, **given):
        point = problem.at(theta)
        gradient = point.gradient
    require(
        isinstance(point.value, float),
        owner,
        f"the value of a point must be a float: {point.value!r}",
    )
    require(
        gradient.shape == theta.shape,
        owner,
        f"the gradient has the shape {tuple(gradient.shape)}; θ has {tuple(theta.shape)}",
    )
    away = theta + 0.1 * normal(len(theta), 5).to(theta)
    problem.at(away).gradient  # noqa: B018 - what is kept from it would change the next value
    again = problem.at(theta)
    require(
        again.value == point.value and torch.equal(again.gradient, gradient),
        owner,
        "the loss must be a function of theta alone: the same θ has another value after f was "
        "evaluated elsewhere. Look for buffers that change, for random numbers, and for parameters "
        "of the module in the place of those that are given by name",
    )
    require(
        bits(problem.both(theta).gradient) == bits(gradient),
        owner,
        "both() must give the bits of at()",
    )


def check_gradient(owner: Any, problem: Problem, theta: torch.Tensor) -> None:
    """Against central differences at ``theta``."""
    g = problem.at(theta).gradient
    v, length = _direction(theta)
    ends = [problem.at(theta + sign * length * v).value for sign in (1.0, -1.0)]
    slope, found = (ends[0] - ends[1]) / (2.0 * length), float(g @ v)
    require(
        abs(slope - found) <= CLOSE * max(norm(g) * norm(v), 1e-8),
        owner,
        f"the gradient says that the loss changes by {found:g} along a direction; it is {slope:g}",
    )


def check_shares(owner: Any, problem: Problem, theta: torch.Tensor) -> None:
    """Shares add up; a part is a mean over its own samples."""
    assert problem.samples is not None
    value = problem.at(theta).value
    halves = [Samples(tuple(term[i::2] for term in problem.samples.terms)) for i in range(2)]
    whole = sum(problem.share(half).at(theta).value for half in halves)
    require(
        abs(whole - value) <= EXACT * max(abs(value), 1e-300),
        owner,
        f"the shares of two halves of the samples add up to {whole:g}, the loss is {value:g}: "
        "sums() must return the sum over the samples that it is given",
    )
    again = problem.part(problem.samples).at(theta).value
    require(
        abs(again - value) <= EXACT * max(abs(value), 1e-300),
        owner,
        f"the part of all samples has the loss {again:g}, and the problem {value:g}",
    )


def _check_curvature(problem: Problem, theta: torch.Tensor) -> None:
    """∇²f v against central differences of the gradient."""
    multiply = _able(lambda: problem.curvature(theta))
    if multiply is None:
        return
    v, length = _direction(theta)
    ends = [problem.at(theta + sign * length * v).gradient for sign in (1.0, -1.0)]
    slope = (ends[0] - ends[1]) / (2.0 * length)
    _agree(problem, multiply(v), slope, "curvature(θ)(v)", "the change of the gradient along v")


def _check_residuals(problem: Problem, theta: torch.Tensor) -> None:
    """f = ‖r‖² and J = ∂r/∂θ, whole and by products; but for a linear term of f, the ``tilt``."""
    r = _able(lambda: problem.residuals(theta).detach())
    if r is None:
        return
    point = problem.at(theta)
    if problem.tilt is None:
        value = float(r @ r)
        require(
            abs(value - point.value) <= EXACT * abs(point.value),
            problem,
            f"the residuals have ‖r‖² = {value:g}, and f is {point.value:g}",
        )
    J = problem.jacobian(theta)
    require(
        J.shape == (len(r), len(theta)),
        problem,
        f"the Jacobian has the shape {tuple(J.shape)}; there are {len(r)} residuals of "
        f"{len(theta)} parameters",
    )
    v, length = _direction(theta)
    ends = [problem.residuals(theta + sign * length * v).detach() for sign in (1.0, -1.0)]
    slope = (ends[0] - ends[1]) / (2.0 * length)
    _agree(problem, J @ v, slope, "jacobian(θ) v", "the change of the residuals along v")
    linear = 0.0 if problem.tilt is None else problem.tilt
    _agree(problem, 2.0 * J.T @ r + linear, point.gradient, "2 Jᵀr", "the gradient")
    product, pullback = problem.differential(theta)
    _agree(problem, product(v), J @ v, "differential(θ)[0](v)", "jacobian(θ) v")
    _agree(problem, pullback(r), J.T @ r, "differential(θ)[1](r)", "Jᵀr")


def _agree(
    problem: Problem, found: torch.Tensor, right: torch.Tensor, what: str, expected: str
) -> None:
    """Two vectors are equal, up to what a central difference differs by."""
    size = max(norm(right), 1e-8)
    gap = norm(found - right) if found.shape == right.shape else float("inf")
    require(
        gap <= CLOSE * size,
        problem,
        f"{what} is not {expected}: they differ by {gap / size:.2g} of it",
    )

"""The check of subproblem solvers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ddopt.method import contract
from ddopt.numerics.vectors import NORMS
from ddopt.subproblem.cauchy import Cauchy
from ddopt.testing.conduct import check_conduct, fresh, require, told, untouched
from ddopt.testing.hessian import update
from ddopt.testing.start import begin

if TYPE_CHECKING:
    from ddopt.hessian import Hessian, Model
    from ddopt.subproblem import Candidate, Subproblem

RADII = (1e-4, 1e-1, 1e2)


@told
def check_subproblem(
    subproblem: Subproblem, hessian: Hessian | None = None, *, ranks: bool = True
) -> None:
    """The step stays in the ball, keeps its promise, and beats the Cauchy step."""
    from ddopt.hessian.lsr1 import LSR1

    problem, theta = begin(None)
    point = problem.at(theta)
    curvature = fresh(hessian) if hessian is not None else LSR1()
    for seed in range(3):
        update(curvature, problem, point, seed)
    model = curvature.model(problem, point)
    length = NORMS[getattr(subproblem, "norm", "2")]
    for radius in RADII:
        candidate = _solved(fresh(subproblem), model, radius)
        p = candidate.step
        promise = -float(model.gradient @ p) - 0.5 * float(p @ model.mv(p))
        require(
            length(p) <= radius * (1 + 1e-9),
            subproblem,
            f"the step is {length(p):g} long, longer than the radius {radius:g}",
        )
        require(
            abs(candidate.norm - length(p)) <= 1e-6 * length(p),
            subproblem,
            f"Candidate.norm must be the length of the step: it says {candidate.norm:g}, and the "
            f"step is {length(p):g} long",
        )
        require(
            abs(promise - candidate.predicted) <= 1e-6 * abs(promise),
            subproblem,
            "predicted must be the decrease of the model along the step, −<g, p> − ½<p, Bp> = "
            f"{promise:g}; it is {candidate.predicted:g}",
        )
        cauchy = Cauchy().solve(model, radius).predicted
        require(
            candidate.predicted >= cauchy * (1 - 1e-9),
            subproblem,
            f"the step is worse than the Cauchy step: the model falls by {candidate.predicted:g} "
            f"where it could by {cauchy:g}",
        )

    def advance(one: Any, i: int) -> Any:
        found = _solved(one, model, RADII[i % 3])
        return [found.step, found.predicted, found.norm]

    check_conduct(subproblem, advance, "solve()", ranks=ranks)


def _solved(subproblem: Any, model: Model, radius: float) -> Candidate:
    with untouched(subproblem, "solve()", gradient=model.gradient):
        found = subproblem.solve(model, radius)
    return contract.candidate(subproblem, found, model.gradient, radius)

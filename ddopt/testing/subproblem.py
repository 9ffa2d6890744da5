"""The check of subproblem solvers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ddopt.hessian.model import Diagonalised
from ddopt.method import contract
from ddopt.numerics.vectors import NORMS
from ddopt.subproblem.cauchy import Cauchy
from ddopt.subproblem.secular import BallMinimum, minimise_in_ball
from ddopt.testing.conduct import check_conduct, fresh, untouched
from ddopt.testing.hessian import update
from ddopt.testing.start import begin
from ddopt.testing.telling import require, told

if TYPE_CHECKING:
    from ddopt.hessian import Hessian, Model
    from ddopt.subproblem import Candidate, Subproblem

RADII = (1e-4, 1e-1, 1e2)
MODELS = (  # what an author forgets: where, the gradient as a multiple of another, B = c I
    ("the gradient is zero", 0.0, 1.0),
    ("the model has no curvature", 1.0, 0.0),
    ("the model bends down", 1.0, -1.0),
)


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
    for radius in RADII:
        _check_step(subproblem, model, radius, "")
    for place, share, bend in MODELS:
        bent = _Bent(share * model.gradient, bend)
        for radius in RADII:
            _check_step(subproblem, bent, radius, f" where {place}")

    def advance(one: Any, i: int) -> Any:
        found = _solved(one, model, RADII[i % 3])
        return [found.step, found.predicted, found.norm]

    check_conduct(subproblem, advance, "solve()", ranks=ranks)


class _Bent(Diagonalised):
    """m(p) = <g, p> + ½ c ‖p‖², which bends alike everywhere."""

    def __init__(self, gradient: torch.Tensor, bend: float) -> None:
        self.gradient, self.bend = gradient, bend

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """The vector c v, shape (n,)."""
        return self.bend * vector

    def minimise(self, radius: float) -> tuple[torch.Tensor, BallMinimum]:
        """The minimiser in the ball; its coordinates are the parameters themselves."""
        slopes = self.gradient.double().numpy()
        found = minimise_in_ball(0.0 * slopes + self.bend, slopes, radius)
        return torch.from_numpy(found.coordinates).to(self.gradient), found


def _check_step(subproblem: Subproblem, model: Model, radius: float, place: str) -> None:
    """In the ball, as long and as good as it says, and as good as the Cauchy step."""
    length = NORMS[getattr(subproblem, "norm", "2")]
    try:
        candidate = _solved(fresh(subproblem), model, radius)
    except ArithmeticError as error:
        raise AssertionError(
            f"solve() raised {type(error).__name__}{place}: {error}; it must divide by nothing "
            "that may be 0"
        ) from error
    p = candidate.step
    promise = -float(model.gradient @ p) - 0.5 * float(p @ model.mv(p))
    require(bool(p.isfinite().all()), subproblem, f"the step has NaN or ∞{place}")
    require(
        length(p) <= radius * (1 + 1e-9),
        subproblem,
        f"the step is {length(p):g} long{place}, longer than the radius {radius:g}",
    )
    require(
        abs(candidate.norm - length(p)) <= 1e-6 * length(p),
        subproblem,
        f"Candidate.norm must be the length of the step: it says {candidate.norm:g}{place}, and "
        f"the step is {length(p):g} long",
    )
    require(
        abs(promise - candidate.predicted) <= 1e-6 * abs(promise),
        subproblem,
        "predicted must be the decrease of the model along the step, −<g, p> − ½<p, Bp> = "
        f"{promise:g}; it is {candidate.predicted:g}{place}",
    )
    cauchy = Cauchy().solve(model, radius).predicted
    require(
        candidate.predicted >= cauchy * (1 - 1e-9),
        subproblem,
        f"the step is worse than the Cauchy step{place}: the model falls by "
        f"{candidate.predicted:g} where it could by {cauchy:g}",
    )


def _solved(subproblem: Any, model: Model, radius: float) -> Candidate:
    gradient = model.gradient
    with untouched(subproblem, "solve()", gradient=gradient):
        found = subproblem.solve(model, radius)
    require(
        model.gradient is gradient,
        subproblem,
        "solve() has put another gradient into the model, which belongs to the Hessian",
    )
    return contract.candidate(subproblem, found, gradient, radius)

"""Levenberg-Marquardt: Gauss-Newton steps with a damping that follows their ratio.

Legend: θ parameters (n,), r residuals (m,), J = ∂r/∂θ, σ = μ max_i (JᵀJ)_ii the damping, ρ the
ratio of the decrease to the promised one.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.acceptance.acceptance import ROUND_OFF
from ddopt.evaluation.jacobian import Gramian, Products
from ddopt.evaluation.problem import Point
from ddopt.evaluation.question import Work
from ddopt.executor import Serial, shared
from ddopt.hessian.bend import Bent, bend
from ddopt.hessian.conjugate_gradients import MOST, RecycledPairs
from ddopt.hessian.linear_residuals import DampedStep, LinearResiduals
from ddopt.numerics.vectors import dot, fingerprint, norm
from ddopt.setup.component import Settings
from ddopt.solver.damping import Nielsen
from ddopt.solver.region import BLIND, REACHED
from ddopt.solver.solver import Answer, Solver
from ddopt.solver.work import factorisation

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.evaluation.question import Asking

CLOSE = 0.75  # of its promise: a step that keeps so much could have been longer
LITTLE = 0.5  # of f: who gains as much needs no longer step
BOLDER = 10.0  # what the damping is then divided by
LOG = logging.getLogger(__name__)
PIECE = 4096  # samples whose graph is in memory at once, where there are products alone


class LevenbergMarquardt(Solver):
    """Nonlinear least squares for problems that give their residuals, f = ‖r‖² + <t, θ>.

    Per iteration one Jacobian, one Gram matrix of its smaller side, one Cholesky factorisation,
    and a residual vector for the step and for each of its corrections (``ddopt.hessian.bend``).
    Every decrease is accepted. ∇f is never asked for. A Jacobian that is too large for a matrix is
    known by its products (``ddopt.hessian.conjugate_gradients``).

    The Jacobian and all that is made of it are float32 until that is what holds the method back
    (``ddopt.solver.damping``); residuals, and so f, always have the precision of θ.
    """

    name = "levenberg_marquardt"
    least_squares = True

    class Config(Settings):
        """The damping and the corrections."""

        damping: float = Field(
            1e-2, gt=0.0, description="the first damping μ, in units of the largest (JᵀJ)_ii"
        )
        corrections: int = Field(
            3, ge=0, description="how often a step is bent; each costs residuals, no Jacobian"
        )
        single: bool = Field(
            True, description="differentiate and factorise in float32 as long as that is enough"
        )
        dense: int = Field(
            250_000_000,
            ge=0,
            description="entries of the largest Jacobian that is kept as a matrix, 8 bytes each; "
            "of a larger one, and of one whose factorisation would be more work, the solver asks "
            "for products, and solves by conjugate gradients",
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._damping = Nielsen(self.config.damping, self.config.single)
        self._pairs = RecycledPairs()  # the preconditioner, where J is known by its products
        self._said = (0, 0)  # the shape of the J whose way has been said
        self._digits: torch.dtype | None = None  # and its precision
        self._blind = 0  # steps in a row that promised less than f can show
        self._last: tuple[Point, LinearResiduals] | None = None  # the model of the last point
        self._before: dict[str, str] = {}  # where a checkpoint had one, and in which precision

    def iterate(
        self, problem: Problem, start: Point, ball: float, iterations: int
    ) -> Asking[Answer]:
        """Iterate from ``start``; damping and precision are kept for the next call."""
        problem = self._in_pieces(problem)
        point, accepted, rejected, non_finite, ratio = start, 0, 0, 0, None
        decrease, room = 0.0, ball
        for _ in range(iterations):
            begin = partial(self._begun, point=point, room=room)
            begun: tuple[LinearResiduals, DampedStep] | None = yield Work(problem, begin)
            if begun is None:  # the Jacobian of the start is not finite: no step is known
                ratio, rejected, non_finite = -math.inf, rejected + 1, non_finite + 1
                break
            model, plain = begun
            bending = partial(
                self._bent, start=start, point=point, model=model, plain=plain, ball=ball
            )
            step: tuple[Bent, DampedStep] = yield Work(problem, bending)
            bent, plain = step
            if self._gone_blind(point, bent.predicted):
                break
            ratio = bent.decrease / bent.predicted
            used = plain.damping / model.equations.scale
            judged = partial(self._judged, point=point, bent=bent, used=used)
            trial: Point | None = yield Work(problem, judged)
            if trial is None:
                rejected += 1
                non_finite += not math.isfinite(bent.decrease)
                continue
            point, accepted, decrease = trial, accepted + 1, decrease + bent.decrease
            if math.isfinite(ball):
                room = ball - problem.geometry.norm(point.theta - start.theta)
                if room <= REACHED * ball:
                    break
        return Answer(
            step=point.theta - start.theta,
            decrease=decrease,
            end=point,
            accepted=accepted,
            rejected=rejected,
            ratio=ratio if ratio is None or math.isfinite(ratio) else -math.inf,
            non_finite=non_finite,
        )

    def _in_pieces(self, problem: Problem) -> Problem:
        """The problem; in shares, one graph at a time, where J is known by its products."""
        if problem.samples is None:
            return problem  # it has no shares
        many = len(problem.samples)
        several = problem.path < problem.cost  # processes evaluate shares already
        if self._fits(many, problem.layout.size) or several:
            return problem
        return shared(problem, -(-many // PIECE), Serial())[0]

    def _model(self, problem: Problem, point: Point) -> LinearResiduals:
        """The linear model at ``point``; it serves again after a rejection."""
        if self._last is None or self._last[0] is not point:
            self._last = point, self._first(problem, point.theta)
        known = self._last[1]
        if known.jacobian.dtype != self._precision(len(known.residuals), point.theta):
            self._last = point, self._linear(problem, point.theta, known.residuals)
        return self._last[1]

    def _first(self, problem: Problem, theta: torch.Tensor) -> LinearResiduals:
        """A model where none is at hand; one that a checkpoint had has been charged."""
        before, self._before = self._before, {}
        dtype = None
        if before and before["theta"] == fingerprint(theta):
            problem, dtype = problem.paid, getattr(torch, before["dtype"])
        residuals = problem.residuals(theta).detach()
        return self._linear(problem, theta, residuals, dtype)

    def _linear(
        self,
        problem: Problem,
        theta: torch.Tensor,
        residuals: torch.Tensor,
        dtype: torch.dtype | None = None,
    ) -> LinearResiduals:
        fits = self._fits(len(residuals), len(theta))
        self._say(len(residuals), len(theta), fits)
        if not fits:
            multiply, anew = problem.differential(theta), problem.rows_anew
            known = Products(residuals, len(theta), multiply, anew)
            return LinearResiduals(known, residuals, problem.tilt, pairs=self._pairs)
        jacobian = problem.linearised(theta, dtype or self._precision(len(residuals), theta))
        if self._digits is not jacobian.dtype:
            self._digits = jacobian.dtype
            LOG.info("J and its factorisation: %s", str(jacobian.dtype).removeprefix("torch."))
        return LinearResiduals(jacobian, residuals, problem.tilt)

    def _fits(self, m: int, n: int) -> bool:
        """Whether a Jacobian is kept as a matrix: there is room, and products are no less work.

        A step by products is rougher than one by a factorisation, and was no worse for its price.
        """
        return m * n <= self.config.dense and factorisation(m, n) <= MOST

    def _say(self, m: int, n: int, fits: bool) -> None:
        """Say the way of J, once for each shape."""
        if self._said != (m, n):
            self._said = m, n
            way = f"kept, Gram matrix {min(m, n)} x {min(m, n)}" if fits else "known by products"
            LOG.info("J %s x %s: %s", m, n, way)
            work = factorisation(m, n)
            LOG.info("a factorisation is %.3g evaluations, products are %.0f", work, MOST)

    def _precision(self, m: int, theta: torch.Tensor) -> torch.dtype:
        single = self._damping.single and self._fits(m, len(theta))
        return torch.float32 if single else theta.dtype

    def _begun(
        self, problem: Problem, point: Point, room: float
    ) -> tuple[LinearResiduals, DampedStep] | None:
        """The model at ``point`` and its step; in float64 where float32 overflows.

        None where J is not finite.
        """
        for _ in range(2):
            model = self._model(problem, point)
            try:
                return model, self._plain(model, room)
            except ArithmeticError:
                if model.jacobian.dtype == point.theta.dtype:
                    break
                self._damping.drowned()
        return None

    def _plain(self, model: LinearResiduals, room: float) -> DampedStep:
        """The damped step, or a shorter one that stays in the ball."""
        wanted = max(self._damping.share * model.equations.scale, model.equations.floor)
        found = model.sound(wanted)
        if found.damping > wanted:
            self._damping.drowned()
        length = norm(found.step)
        return found if length <= room else model.within(room, found.damping)

    def _gone_blind(self, point: Point, predicted: float) -> bool:
        """Whether no decrease is promised, or for long none that f could show."""
        noise = ROUND_OFF * point.epsilon * abs(point.value)
        self._blind = self._blind + 1 if predicted <= noise else 0
        return self._blind > BLIND or not predicted > 0.0

    def _bent(
        self,
        problem: Problem,
        start: Point,
        point: Point,
        model: LinearResiduals,
        plain: DampedStep,
        ball: float,
    ) -> tuple[Bent, DampedStep]:
        """The best of a step and its corrections, and what they were made from.

        Where it keeps its promise and still gains little the damping is what holds it back. It is
        then made smaller at once, with the Gram matrix at hand, for as long as f falls further;
        without a matrix that would be the price of another iteration.
        """

        def bent(plain: DampedStep) -> Bent:
            return bend(
                lambda step: problem.residuals(point.theta + step).detach(),
                model,
                plain,
                self.config.corrections,
                lambda step: norm(point.theta + step - start.theta) <= ball,
            )

        best = bent(plain)
        floor = model.equations.floor
        at_hand = isinstance(model.jacobian, Gramian) and self._damping.trusted
        while at_hand and CLOSE * best.predicted < best.decrease < LITTLE * abs(point.value):
            lower = plain.damping / BOLDER
            if lower < floor:
                break
            bolder = model.at(lower)
            if norm(point.theta + bolder.step - start.theta) > ball or bolder.damping > lower:
                break
            found = bent(bolder)
            if not found.decrease > best.decrease:
                break
            best, plain = found, bolder
        return best, plain

    def _judged(self, problem: Problem, point: Point, bent: Bent, used: float) -> Point | None:
        """The end of the step where it is taken: f is less there, and J is finite.

        The damping follows the ratio first: it decides about the precision of the next J.
        """
        before = self._damping.state_dict()
        if 0.0 < bent.decrease < math.inf:
            self._damping.accepted(used, bent.decrease / bent.predicted)
            theta = point.theta + bent.step
            model = self._linear(problem, theta, bent.residuals)
            if model.jacobian.finite:
                value = point.value - bent.decrease  # with a linear term f is no sum of squares
                if problem.tilt is None:
                    value = dot(bent.residuals, bent.residuals)
                exact = model.jacobian.dtype == theta.dtype
                trial = Point(
                    theta,
                    value,
                    lambda: model.gradient if exact else problem.both(theta).gradient,
                    trace=problem.trace,  # J was evaluated last, and here
                )
                if math.isfinite(value):  # and J is
                    trial.vouch()
                self._last = trial, model
                return trial
        self._damping.load_state_dict(before)
        self._damping.rejected(used)
        return None

    def leave(self) -> None:
        """Let go of the model, which has a Jacobian."""
        self._last, self._before = None, {}

    def reset(self) -> None:
        """Forget the model and rejections: the problem has changed."""
        self.renew()

    def renew(self) -> None:
        """The same: residuals at other points have another Jacobian, and the damping stays."""
        self._last, self._before = None, {}
        self._damping.renew()
        self._blind = 0

    def state_dict(self) -> dict[str, Any]:
        """The damping; the model is made anew from θ."""
        return {
            "damping": self._damping.state_dict(),
            "blind": self._blind,
            "pairs": self._pairs.state_dict(),
            "model": self._known(),
        }

    def _known(self) -> dict[str, str]:
        """Of which point a model is at hand."""
        if self._last is None:
            return self._before
        theta, dtype = self._last[0].theta, self._last[1].jacobian.dtype
        return {"theta": fingerprint(theta), "dtype": str(dtype).removeprefix("torch.")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._damping.load_state_dict(state["damping"])
        self._blind = int(state["blind"])
        self._pairs.load_state_dict(state["pairs"])
        self._last, self._before = None, dict(state["model"])

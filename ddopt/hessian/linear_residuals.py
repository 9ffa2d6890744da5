"""The Gauss-Newton model: f with its residuals replaced by their linear part.

    m(p) = ‖r + J p‖² − ‖r‖² + <t, p>,   (JᵀJ + σI) p(σ) = −(Jᵀr + t/2)

p(σ) minimises m(p) + σ‖p‖². It is the Levenberg-Marquardt step with damping σ, and the minimiser of
m in the ball of radius ‖p(σ)‖: one factorisation serves both.

Legend: m residuals r, n parameters, J (m, n), t the linear term of f beside its squares (a
consistent local objective has one, ``Problem.tilt``), σ the damping, Δ a radius.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ddopt.evaluation.counted import refuse_another_number
from ddopt.evaluation.jacobian import Gramian, Jacobian
from ddopt.hessian.conjugate_gradients import Iterated, IterativeEquations, RecycledPairs
from ddopt.hessian.hessian import Regularised
from ddopt.hessian.normal_equations import RAISE, Damped, NormalEquations
from ddopt.numerics.vectors import dot, norm

TIGHT = {torch.float64: 1e-9, torch.float32: 1e-4}  # how well ‖p(σ)‖ meets a radius
ROUGH = 0.1  # the same where p(σ) itself is approximate
MOST = 60  # solves with one radius; Newton's method takes about five
SOUND = 0.9  # of the decrease that the exact step has: what a computed one must have
REFINED = 3  # times, before the damping is raised instead
FAR = 10.0  # factor on σ while nothing is known to be beyond the root


@dataclass(frozen=True)
class DampedStep:
    """p(σ), and the factorisation that it came from."""

    step: torch.Tensor  # shape: (n,)
    factorised: Damped | Iterated
    outside: torch.Tensor | None  # the part of p that u gave, shape (n,); see LinearResiduals

    @property
    def damping(self) -> float:
        """σ."""
        return self.factorised.damping


class LinearResiduals(Regularised):
    """The model at one θ, for any number of dampings and radii.

    ``at`` and ``within`` raise ``ArithmeticError`` where J is not finite.
    """

    def __init__(
        self,
        jacobian: Jacobian,
        residuals: torch.Tensor,
        tilt: torch.Tensor | None = None,
        guess: float = 0.0,
        pairs: RecycledPairs | None = None,
    ) -> None:
        self.jacobian, self.residuals, self.tilt = jacobian, residuals, tilt
        self._pairs = pairs or RecycledPairs()  # where J is known by products alone
        self.guess = guess  # a damping that may be near that of the first ball
        self.last: DampedStep | None = None  # the minimiser that was found last

    @cached_property
    def equations(self) -> NormalEquations | IterativeEquations:
        """Formed when a step is first asked for."""
        if isinstance(self.jacobian, Gramian):
            return NormalEquations(self.jacobian)
        return IterativeEquations(self.jacobian, self.residuals, self._pairs)

    @cached_property
    def gradient(self) -> torch.Tensor:  # type: ignore[override]
        """2 Jᵀr + t, shape (n,)."""
        g = 2.0 * self.jacobian.pullback(self.residuals)
        return g if self.tilt is None else g + self.tilt

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """2 Jᵀ(J v)."""
        return 2.0 * self.jacobian.pullback(self.jacobian.product(vector))

    @property
    def _dual(self) -> bool:
        return isinstance(self.jacobian, Gramian) and self.jacobian.dual

    @cached_property
    def _parts(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(e, u) with Jᵀr + t/2 = Jᵀe + u.

        In the dual form the part of t in the range of Jᵀ joins the residuals, and u is orthogonal
        to it: (JᵀJ + σI)⁻¹u is then u/σ, without cancellation.
        """
        if self.tilt is None or not self._dual:
            return self.residuals, None if self.tilt is None else 0.5 * self.tilt
        factorised = self.equations.damped(0.0)
        assert isinstance(factorised, Damped)
        error, outside = self.residuals, 0.5 * self.tilt
        for _ in range(2):  # once more, for what round-off has left
            inside = factorised.coordinates(self.jacobian.product(outside))
            error, outside = error + inside, outside - self.jacobian.pullback(inside)
        return error, outside

    def at(self, damping: float, refinements: int = 0) -> DampedStep:
        """p(σ) for σ = ``damping``, or the least greater one that can be factorised."""
        error, outside = self._parts
        factorised = self.equations.damped(damping)
        if isinstance(factorised, Damped) and refinements:
            factorised = replace(factorised, refinements=refinements)
        step = -factorised.fitted(error)
        beside = None if outside is None else -factorised.inverse(outside)
        self.last = DampedStep(step if beside is None else step + beside, factorised, beside)
        return self.last

    def sound(self, damping: float) -> DampedStep:
        """p(σ) with the decrease of the exact one, m(0) − m(p) = ‖Jp‖² + 2σ‖p‖².

        Round-off may take it, and even leave a step that promises an increase. Then the step is
        refined; where that does not help, the damping is raised, but not above the largest element
        of the Gram matrix: at a minimum no step promises anything.
        """
        while True:
            for refinements in range(REFINED + 1):
                found = self.at(damping, refinements)
                if self._sound(found):
                    return found
            if found.damping >= self.equations.scale:
                return found
            damping = RAISE * found.damping

    def _sound(self, found: DampedStep) -> bool:
        """Whether the decrease is at least most of what it should be.

        Products alone are inexact on purpose, and are not asked.
        """
        if not isinstance(self.jacobian, Gramian):
            return True
        change, step = self.jacobian.product(found.step), found.step
        exact = dot(change, change) + 2.0 * found.damping * dot(step, step)
        return not self.decrease(step, self.residuals + change) < SOUND * exact

    def _slowness(self, found: DampedStep) -> float:
        """<p, (JᵀJ + σI)⁻¹ p> = −½ d‖p‖²/dσ."""
        factorised, beside = found.factorised, found.outside
        if isinstance(factorised, Iterated) or not self._dual:
            return dot(found.step, factorised.inverse(found.step))
        if beside is None:
            return factorised.slowness(found.step, self._parts[0])
        inside = factorised.slowness(found.step - beside, self._parts[0])
        return inside + dot(beside, beside) / found.damping

    def promised(self, step: torch.Tensor) -> torch.Tensor:
        """r + J p, shape (m,)."""
        return self.residuals + self.jacobian.product(step)

    def decrease(self, step: torch.Tensor, residuals: torch.Tensor) -> float:
        """f(θ) − f(θ + p), where the residuals at θ + p are (or would be) these, shape (m,).

        (r − s)ᵀ(r + s): near a minimum the difference of two squares has no digits left.
        Raises ``ValueError`` where their number is another one than at θ.
        """
        refuse_another_number(len(self.residuals), len(residuals))
        found = dot(self.residuals - residuals, self.residuals + residuals)
        return found if self.tilt is None else found - dot(self.tilt, step)

    @property
    def _tight(self) -> float:
        """How well ‖p(σ)‖ meets a radius."""
        if not isinstance(self.jacobian, Gramian):
            return ROUGH
        return TIGHT[self.jacobian.dtype]

    def within(self, radius: float, guess: float = 0.0) -> DampedStep:
        """The minimiser in ‖p‖ <= radius; ``guess`` is a damping that may be near its own.

        Newton's method on 1/‖p(σ)‖ = 1/Δ, which is concave in σ: from the left of the root it never
        overshoots (Moré and Sorensen 1983; Conn, Gould and Toint, Trust-Region Methods, 7.3.3).
        """
        low, high = 0.0, float("inf")
        wanted = guess
        for _ in range(MOST):
            found = self.at(wanted)
            length = norm(found.step)
            excess = length / radius - 1.0
            if abs(excess) <= self._tight:
                break
            if excess < 0.0 and (found.damping > wanted or wanted <= self.equations.floor):
                return found  # no smaller damping exists
            low, high = (found.damping, high) if excess > 0.0 else (low, found.damping)
            wanted = found.damping + length**2 / self._slowness(found) * excess
            if not low < wanted < high:
                wanted = (low * high) ** 0.5 if high < float("inf") else FAR * low
        scaled = found.step * (radius / length)
        self.last = DampedStep(scaled, found.factorised, found.outside)
        return self.last

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """The step in the ball, the decrease of the model, and the step's length.

        The decrease is that of the linear residuals and not the sum of squares that it should be:
        eigenvalues near round-off promise what no step brings. Where J is not finite there is no
        step, and the promise is nan.
        """
        try:
            step = self.within(radius, self.guess).step
        except ArithmeticError:
            return torch.zeros_like(self.gradient), math.nan, 0.0
        assert self.last is not None
        self.guess = self.last.damping
        return step, self.decrease(step, self.promised(step)), norm(step)

"""Gauss-Newton curvature of a problem that is sparse by patches: one factorisation for each model.

    f = ‖r‖²,  g = 2 Jᵀr,  B = 2 JᵀJ

The minimiser of the model is the Gauss-Newton step; in a smaller ball it is shortened along itself,
which is the minimiser in the model's own norm (Conn, Gould and Toint, Trust-Region Methods, section
6.7).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.hessian.hessian import Ellipsoidal, Hessian
from ddopt.setup.component import Settings
from ddopt_patches.least_squares import DROP, REFINEMENTS
from ddopt_patches.problem import Blocky
from ddopt_patches.system import squares

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.subproblem import Candidate

LONGEST = 0.375  # of a step: a longer correction means that the step is too long for its model


class BlockModel(Ellipsoidal):
    """m(p) = <g, p> + ‖J p‖², factorised when it is made."""

    def __init__(self, problem: Blocky, point: Point, drop: float, damping: float) -> None:
        self.gradient = point.gradient
        self.residuals, self.squares = problem.factorised(point.theta, drop, damping)
        self._size = problem.layout.size
        y = self.squares.solve_in_basis(self.residuals, REFINEMENTS)
        self._newton = self._vector(y)
        self._length = float(self._newton.norm())
        self._change = self.squares.product(y)  # J p of the whole step

    def _vector(self, y: torch.Tensor) -> torch.Tensor:
        """From the orthonormal bases to (n,)."""
        return self.squares.from_basis(y).flatten()[: self._size]

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Never asked for: the model is minimised in its own norm."""
        raise ValueError(
            "hessian 'block_gauss_newton' is factorised and does not multiply; choose the "
            "subproblem 'obs' for it"
        )

    def promised(self, share: float) -> list[torch.Tensor]:
        """The residuals of the linear model after ``share`` of the step."""
        pairs = zip(self.residuals, self._change, strict=True)
        return [r + share * q for r, q in pairs]

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """The Gauss-Newton step, shortened to the radius; the decrease −m; its length."""
        share = min(1.0, radius / self._length) if self._length > 0.0 else 0.0
        decrease = squares(self.residuals) - squares(self.promised(share))
        return share * self._newton, max(decrease, 0.0), share * self._length

    def correction(self, error: list[torch.Tensor]) -> tuple[torch.Tensor, float]:
        """What takes a change of the residuals away, (n,), and its length."""
        step = self._vector(self.squares.solve_in_basis(error, REFINEMENTS))
        return step, float(step.norm())

    def share_of(self, length: float) -> float:
        """Which share of the Gauss-Newton step has this length."""
        return length / self._length if self._length > 0.0 else 0.0


class BlockGaussNewton(Hessian):
    """Gauss-Newton on patches, for problems that give their Jacobian by blocks.

    Where f is what the last model promised, another step brings nothing: the next model is that of
    a stationary point, and the run ends without a last factorisation.
    """

    name = "block_gauss_newton"
    learns = False

    class Config(Settings):
        """Options of the least-squares step."""

        drop: float = Field(
            DROP, ge=0.0, lt=1.0, description="singular values of a patch below this share go"
        )
        damping: float = Field(
            0.0, ge=0.0, description="λ of ‖Jp + r‖² + λ‖p‖², p in orthonormal coordinates"
        )
        corrections: int = Field(
            0, ge=0, description="how often a step is bent; each costs residuals and a solve"
        )
        exact: float = Field(
            1e-3,
            ge=0.0,
            lt=1.0,
            description="f within this share of what the model promised: the end is reached",
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._last: tuple[Point, BlockModel] | None = None  # after a rejection it serves again
        self._promised = math.nan  # f where the last step should have ended

    def model(self, problem: Problem, point: Point) -> Ellipsoidal:
        """The linearised least-squares model at ``point``.

        Raises ``ValueError`` for a problem without a Jacobian by blocks.
        """
        blocky = problem.ability(Blocky)
        if blocky is None:
            raise ValueError(
                "hessian 'block_gauss_newton' needs a problem on patches (problem = 'patches', or "
                f"ddopt_patches.compile), and not {problem.called}; choose 'gauss_newton'"
            )
        if self._last is None or self._last[0] is not point:
            self._last = None  # frees its memory before the next one is made
            if abs(point.value - self._promised) <= self.config.exact * point.value:
                return Reached(point)
            options = self.config
            self._last = point, BlockModel(blocky, point, options.drop, options.damping)
        return self._last[1]

    def refine(
        self, problem: Problem, point: Point, candidate: Candidate, room: float
    ) -> Candidate:
        """Bend the step until the residuals are those that the linear model promised."""
        blocky = problem.ability(Blocky)
        if self._last is None or blocky is None:
            return candidate
        model = self._last[1]
        promised = model.promised(model.share_of(candidate.norm))
        self._promised = squares(promised) if model.squares.told else math.nan
        step, before, longest = candidate.step, candidate.step, LONGEST * candidate.norm
        best = math.inf
        for _ in range(self.config.corrections):
            now = blocky.groups(point.theta + step)
            error = [a - b for a, b in zip(now, promised, strict=True)]
            missed = squares(error)
            if not missed < best:  # the last correction made it worse
                step = before
                break
            bend, length = model.correction(error)
            if not length < longest or candidate.norm + length > room:
                break
            before, step, best, longest = step, step + bend, missed, length
        return dataclasses.replace(candidate, step=step)

    def reset(self) -> None:
        """Forget the last model: the problem has changed."""
        self._last, self._promised = None, math.nan

    def state_dict(self) -> dict[str, Any]:
        """What the last step promised; the model itself is made anew."""
        return {"promised": self._promised}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._promised, self._last = float(state["promised"]), None


class Reached(Ellipsoidal):
    """The model where nothing is left to gain."""

    def __init__(self, point: Point) -> None:
        self.gradient = point.gradient

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """Zero: nothing is known that could be gained."""
        return torch.zeros_like(vector)

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """No step."""
        return torch.zeros_like(self.gradient), 0.0, 0.0

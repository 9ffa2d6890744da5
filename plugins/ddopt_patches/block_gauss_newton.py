"""Gauss-Newton curvature of a problem that is sparse by patches: one factorisation for each model.

f = ‖r‖²,  g = 2 Jᵀr,  B = 2 JᵀJ
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from ddopt_patches.least_squares import REFINEMENTS
from ddopt_patches.problem import Blocky
from ddopt_patches.promised import Minimised, PromiseSettings, Promising
from ddopt_patches.system import by_group, squares

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem
    from ddopt.subproblem import Candidate

LONGEST = 0.375  # of a step: a longer correction means that the step is too long for its model


class BlockModel(Minimised):
    """m(p) = <g, p> + ‖J p‖², factorised when it is made."""

    def __init__(self, problem: Blocky, point: Point, drop: float, damping: float) -> None:
        self.residuals, self.squares = problem.factorised(point.theta, drop, damping)
        self._size = problem.layout.size
        y = self.squares.solve_in_basis(self.residuals, REFINEMENTS)
        super().__init__(point.gradient, self._vector(y))
        self._change = self.squares.product(y)  # J p of the whole step

    def _vector(self, y: torch.Tensor) -> torch.Tensor:
        """From the orthonormal bases to (n,)."""
        return self.squares.from_basis(y).flatten()[: self._size]

    def promised(self, share: float) -> list[torch.Tensor]:
        """The residuals of the linear model after ``share`` of the step."""
        pairs = zip(self.residuals, self._change, strict=True)
        return [r + share * q for r, q in pairs]

    def decrease(self, share: float) -> float:
        """−m of this share of the step, from the residuals."""
        return squares(self.residuals) - squares(self.promised(share))

    def correction(self, error: list[torch.Tensor]) -> tuple[torch.Tensor, float]:
        """What takes a change of the residuals away, (n,), and its length."""
        step = self._vector(self.squares.solve_in_basis(error, REFINEMENTS))
        return step, float(step.norm())


class BlockGaussNewton(Promising):
    """Gauss-Newton on patches, for problems that give their Jacobian by blocks."""

    name = "block_gauss_newton"

    class Config(PromiseSettings):
        """Options of the least-squares step."""

        damping: float = Field(
            0.0, ge=0.0, description="λ of ‖Jp + r‖² + λ‖p‖², p in orthonormal coordinates"
        )
        corrections: int = Field(
            0, ge=0, description="how often a step is bent; each costs residuals and a solve"
        )

    def made(self, problem: Problem, point: Point) -> BlockModel:
        """The model from one factorisation; ``ValueError`` for a problem that is not on patches."""
        blocky = problem.ability(Blocky)
        if blocky is None:
            raise ValueError(
                "hessian 'block_gauss_newton' needs a problem on patches (problem = 'patches', or "
                f"ddopt_patches.compile), and not {problem.called}; choose 'gauss_newton'"
            )
        return BlockModel(blocky, point, self.config.drop, self.config.damping)

    def groups(self, problem: Problem, point: Point) -> list[float]:
        """‖r‖² of each group of rows."""
        blocky = problem.ability(Blocky)
        assert blocky is not None
        return by_group(blocky.groups(point.theta))

    def refine(
        self, problem: Problem, point: Point, candidate: Candidate, room: float
    ) -> Candidate:
        """Bend the step until the residuals are those that the linear model promised."""
        blocky = problem.ability(Blocky)
        if self._last is None or blocky is None:
            return candidate
        model = self._last[1]
        assert isinstance(model, BlockModel)
        promised = model.promised(model.share_of(candidate.norm))
        self._promised = by_group(promised) if model.squares.told else []
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

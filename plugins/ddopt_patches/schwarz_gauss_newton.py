"""Gauss-Newton curvature on regions: the model of a trust region that no process holds whole.

    f = ‖r‖²,  g = 2 Jᵀr,  B = 2 JᵀJ

The step minimises the model by conjugate gradients with a two-level Schwarz preconditioner
(``schwarz``), as exactly as the model deserves: an inexact Gauss-Newton method.

Source of the tolerance: Eisenstat and Walker, Choosing the forcing terms in an inexact Newton
method, SIAM Journal on Scientific Computing 17 (1996), choice 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ddopt.executor import Serial, Split
from ddopt.setup.component import Chosen, Settings
from ddopt_patches.block import Block
from ddopt_patches.problem import PatchProblem, RegionProblem
from ddopt_patches.promised import Minimised, PromiseSettings, Promising
from ddopt_patches.regions import Border
from ddopt_patches.schwarz import Options, Schwarz

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.executor import Executor
    from ddopt.subproblem import Candidate

LOOSEST = 1e-2  # tolerance of a step, however poor the last model was


@dataclass(frozen=True)
class Linearised:
    """A region, its residuals and its rows of J, group by group."""

    piece: RegionProblem
    residuals: list[torch.Tensor]
    blocks: list[Block]


class SchwarzModel(Minimised):
    """m(p) = <g, p> + ‖J p‖², minimised when it is made; all processes make it alike."""

    def __init__(
        self,
        problem: Problem,
        point: Point,
        options: Options,
        tolerance: float,
    ) -> None:
        found, executor = linearised(problem, point.theta)
        any_piece = next(iter(found.values())).piece
        border = Border(any_piece.regions, executor)
        rows, cells = {}, {}
        for d, one in found.items():
            here = [Block(one.piece.region.local(b.patches), b.by_corner) for b in one.blocks]
            rows[d] = one.residuals, here
            cells[d] = [group.points.cells for group in one.piece.system.rows]
        solved = Schwarz(any_piece.system.patches, border, rows, cells, options)
        y = solved.solve(tolerance)
        self.iterations = solved.iterations
        super().__init__(point.gradient, solved.from_basis(y).flatten())
        along = solved.product(y)
        sums = {
            d: [
                sum(float((r * q).sum()) for r, q in zip(solved.residuals[d], own, strict=True)),
                sum(float((q * q).sum()) for q in own),
            ]
            for d, own in along.items()
        }
        self._slope, self._bend = border.total(sums)  # <r, Jp> and ‖Jp‖²

    def decrease(self, share: float) -> float:
        """−m of this share of the step."""
        return -share * (2.0 * self._slope + share * self._bend)


class SchwarzGaussNewton(Promising):
    """Gauss-Newton for problems on patches, on as many processes as there are regions.

    f is evaluated in the same regions, where the strategy shares it out (``schwarz`` does).
    """

    name = "schwarz"

    class Config(PromiseSettings):
        """Options of the step."""

        tile: int = Field(
            4, ge=1, description="patches along an axis that are solved together, without those "
            "around them"
        )  # fmt: skip
        coarse: Annotated[Settings, Chosen("coarse_space")] = Field(
            "polynomials",
            validate_default=True,
            description="directions of each patch that are solved for all patches at once",
        )
        iterations: int = Field(200, ge=1, description="of conjugate gradients in a step, at most")
        tolerance: float = Field(
            1e-8, gt=0.0, lt=1.0, description="of the conjugate gradients, where the model is good"
        )

    def made(self, problem: Problem, point: Point) -> SchwarzModel:
        """The model on regions; ``ValueError`` for a problem that is not on patches."""
        c = self.config
        options = Options(c.drop, c.tile, c.coarse.build(), c.iterations)
        return SchwarzModel(problem, point, options, self._forcing(point.value))

    def _forcing(self, value: float) -> float:
        """The tolerance of a step: how far the last model was off, relative to where it began."""
        if not self._promised:
            return float(self.config.tolerance)
        off = abs(math.sqrt(value) - math.sqrt(sum(self._promised))) / math.sqrt(self._before)
        return float(min(max(off, self.config.tolerance), LOOSEST))

    def refine(
        self, problem: Problem, point: Point, candidate: Candidate, room: float
    ) -> Candidate:
        """The same step; what it promises is remembered."""
        if candidate.predicted > 0.0:
            self._before = point.value
            self._promised = [max(point.value - candidate.predicted, 0.0)]
        return candidate


def linearised(problem: Problem, theta: torch.Tensor) -> tuple[dict[int, Linearised], Executor]:
    """The residuals and rows of the regions of this process, and who exchanges between them.

    Raises ``ValueError`` for a problem that has no regions, and for more processes than regions.
    """
    split = problem.ability(Split)
    whole = problem.ability(PatchProblem)
    if split is not None:
        found, executor = split.answers(lambda piece: _rows(piece, theta)), split.executor
    elif whole is not None:
        found, executor = {0: _rows(whole.own_share(0, 1), theta)}, Serial()
    else:
        found, executor = {0: None}, Serial()
    if not found:
        raise ValueError(
            f"process {executor.rank} has no region: there are fewer regions than processes; set "
            f"strategy.subdomains to {executor.size} or more"
        )
    there = {d: one for d, one in found.items() if one is not None}
    if len(there) < len(found):
        raise ValueError(
            "hessian 'schwarz' needs a problem on patches (problem = 'patches', or "
            f"ddopt_patches.compile), and not {problem.called}; choose 'gauss_newton'"
        )
    return there, executor


def _rows(piece: Problem, theta: torch.Tensor) -> Linearised | None:
    """A region with its rows at ``theta``; None for another problem."""
    if not isinstance(piece, RegionProblem):
        return None
    return Linearised(piece, *piece.by_cells(theta))

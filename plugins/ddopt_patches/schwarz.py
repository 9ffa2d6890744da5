"""A Gauss-Newton step on regions: conjugate gradients with a two-level Schwarz preconditioner.

    minimise ‖J d + r‖²,     M⁻¹ = Σ_i R_iᵀ (R_i JᵀJ R_iᵀ)⁻¹ R_i + Z (Zᵀ JᵀJ Z)⁻¹ Zᵀ

R_i restricts to the patches of a *tile*, a few patches along each axis and one more around them; Z
is the coarse space (``coarse``). Nobody holds JᵀJ: a process has the rows of its regions and the
factors of its tiles. An iteration exchanges the slope and the tiles' answers along the borders of
regions, the coarse slope of each region's own patches, and two scalars.

The conjugate gradients run on J itself (CGLS; Björck, Numerical Methods for Least Squares Problems,
7.4). The preconditioner's numbers travel in float32: they need not be exact, only the same on both
sides. Those of the slope travel in six bytes, to 33 binary digits of what each side knows of it.

Source: Toselli and Widlund, Domain Decomposition Methods (2005), chapters 2 and 3.

Legend: R regions; s_d patches that region d sees, B unknowns of a patch; vectors of a region have
the shape (s_d, B), in the orthonormal bases of the patches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from ddopt_patches.block import Block, Gram
from ddopt_patches.coarse import Polynomials, squared
from ddopt_patches.coarse_space import CoarseSpace, Local
from ddopt_patches.levels import levels
from ddopt_patches.neighbours import grams
from ddopt_patches.orthonormal import basis, triangles
from ddopt_patches.tiles import Tile, tiles
from ddopt_patches.tridiagonal import Tridiagonal

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt_patches.network import Patches
    from ddopt_patches.regions import Border, Region

RIDGE = 1e-13
TRAVELLING = (torch.float32,)  # what the preconditioner exchanges
SLOPE = (torch.float32, torch.bfloat16)  # as the slope, which decides how exact the step becomes
Vectors = dict[int, torch.Tensor]  # by region


@dataclass(frozen=True)
class Options:
    """What there is to choose about a step; see ``SchwarzGaussNewton``."""

    drop: float = 1e-12
    tile: int = 4
    coarse: CoarseSpace = field(default_factory=Polynomials)
    iterations: int = 200


class Schwarz:
    """The Jacobian of all regions at one point, and solves with it.

    All processes make it and call it alike.

    Args:
        patches: the local networks.
        border: the regions, and how they exchange.
        linearised: for each region of this process its residuals and rows of J, group by group,
            patches by their places in the region.
        cells: for each of these groups the cells of its rows, by region.
    """

    def __init__(
        self,
        patches: Patches,
        border: Border,
        linearised: dict[int, tuple[list[torch.Tensor], list[Block]]],
        cells: dict[int, list[torch.Tensor]],
        options: Options,
    ) -> None:
        self._patches, self._border, self._options = patches, border, options
        self.residuals = {d: r for d, (r, _) in linearised.items()}
        self._blocks = {d: blocks for d, (_, blocks) in linearised.items()}
        self._bases(options.drop)
        foreign = grams(patches.grid, border, self._blocks, cells)
        self._tiles = {d.index: self._factors(d, foreign[d.index]) for d in border.owned}
        self._coarsen(cells)
        self.iterations = 0  # of the last solve

    def _bases(self, drop: float) -> None:
        """An orthonormal basis for each patch, from all rows that touch it, whoever has them."""
        found = self._merged(
            {d.index: triangles(self._blocks[d.index], len(d.patches)) for d in self._border.owned}
        )
        self.basis, self._dropped = {}, {}
        for d, triangle in found.items():
            T, kept = basis(triangle, drop)
            self.basis[d], self._dropped[d] = T, (~kept).to(T)
            for block in self._blocks[d]:
                for k in range(block.patches.shape[1]):
                    block.by_corner[:, k] = block.by_corner[:, k] @ T[block.patches[:, k]]

    def _merged(self, own: Vectors) -> Vectors:
        """R of all rows of a patch, from those of each region that sees it."""
        border = self._border
        sent = {
            (d.index, e): (own[d.index][places],)
            for d in border.owned
            for e, places in d.meeting.items()
        }
        received = border.exchanged(sent)
        found = {}
        for d in border.owned:
            result = own[d.index].clone()
            result[d.shared] = 0.0
            for e in sorted([*d.meeting, d.index]):  # the same sequence on every side
                places = d.shared if e == d.index else d.meeting[e]
                more = own[d.index][places] if e == d.index else received[e, d.index][0]
                if len(places):
                    tall = torch.cat([result[places], more], 1)
                    result[places] = torch.linalg.qr(tall, mode="r").R
            found[d.index] = result
        return found

    def _factors(self, region: Region, foreign: list[Gram]) -> list[Tile]:
        """A factor for each tile of a region."""
        grid = self._patches.grid
        d = region.index
        rows: list[Block | Gram] = [*self._blocks[d], *foreign]
        found = []
        for own in tiles(grid.patch_position(region.patches), self._options.tile):
            around = self._around(d, own)
            mask = torch.zeros(grid.patches, dtype=torch.bool)
            mask[region.patches[around]] = True
            order = [region.local(level) for level in levels(grid, mask)]
            found.append(
                Tile(own, torch.cat(order), Tridiagonal(rows, order, self._dropped[d], RIDGE))
            )
        return found

    def _around(self, d: int, own: torch.Tensor) -> torch.Tensor:
        """Patches of a region that share a cell with some of them, these included."""
        mask = torch.zeros(len(self._dropped[d]), dtype=torch.bool)
        mask[own] = True
        near = mask.clone()
        for block in self._blocks[d]:
            near[block.patches[mask[block.patches].any(1)].flatten()] = True
        return near.nonzero().flatten()

    def _coarsen(self, cells: dict[int, list[torch.Tensor]]) -> None:
        """The coarse vectors of each region, and Zᵀ JᵀJ Z from the parts of all regions."""
        border, grid = self._border, self._patches.grid
        self._coarse = border.agreed({d.index: self._vectors(d) for d in border.owned})
        C, p = grid.corners, next(iter(self._coarse.values())).shape[2]
        own = {}
        for d in border.owned:
            place = torch.full((grid.cells,), -1)
            place[d.cells] = torch.arange(int(d.cells.sum()))
            total = torch.zeros(int(d.cells.sum()), C, C, p, p, dtype=torch.float64)
            for where, gram in zip(
                cells[d.index], squared(self._blocks[d.index], self._coarse[d.index]), strict=True
            ):
                total.index_add_(0, place[where], gram.products)
            own[d.index] = total.flatten()
        sizes = [int(d.cells.sum()) * (C * p) ** 2 for d in border.regions]
        parts = border.executor.each(own, sizes, torch.zeros(1, dtype=torch.float64))
        found = []
        active = torch.zeros(grid.patches, dtype=torch.bool)
        for d, part in zip(border.regions, parts, strict=True):
            touched = grid.touching(d.cells.nonzero().flatten())
            found.append(Gram(touched, part.view(-1, C, C, p, p)))
            active[d.patches] = True
        nothing = torch.zeros(grid.patches, p, dtype=torch.float64)
        self._coarse_factor = self._replicated(found, levels(grid, active), nothing)

    def _vectors(self, region: Region) -> torch.Tensor:
        """The coarse vectors of the patches of a region, (s_d, B, p)."""
        d = region.index
        kept = self._dropped[d] == 0.0
        local = Local(
            self._patches, region.patches, self.basis[d], kept, self._tiles[d], region.index
        )
        found: torch.Tensor = self._options.coarse.vectors(local)
        return found

    def _replicated(
        self, found: list[Gram], order: list[torch.Tensor], nothing: torch.Tensor
    ) -> Tridiagonal:
        """The coarse factor, which every process makes and has."""
        return Tridiagonal(found, order, nothing, RIDGE)

    def preconditioned(self, slope: Vectors) -> Vectors:
        """M⁻¹ of a vector."""
        border = self._border
        local = {}
        for d in border.owned:
            answer = torch.zeros_like(slope[d.index])
            for tile in self._tiles[d.index]:
                answer[tile.patches] += tile.factor.solve(slope[d.index])[tile.patches]
            local[d.index] = answer
        found = border.added(local, TRAVELLING)
        smooth = {
            d.index: (self._coarse[d.index].mT @ slope[d.index][..., None]).squeeze(-1)
            for d in border.owned
        }
        whole = border.whole(smooth, self._patches.grid.patches, *TRAVELLING)
        answer = self._coarse_factor.solve(whole)
        for d in border.owned:
            Z = self._coarse[d.index]
            found[d.index] += (Z @ answer[d.patches][..., None]).squeeze(-1)
        return found

    def product(self, y: Vectors) -> dict[int, list[torch.Tensor]]:
        """J y, region by region and group by group."""
        return {
            d: [(b.by_corner @ y[d][b.patches][..., None]).sum(1).squeeze(-1) for b in blocks]
            for d, blocks in self._blocks.items()
        }

    def _slope(self, left: dict[int, list[torch.Tensor]], y: Vectors) -> Vectors:
        """Jᵀ left − D y, complete on every patch that a region sees."""
        own = {}
        for d, blocks in self._blocks.items():
            total = torch.zeros_like(self._dropped[d])
            for block, r in zip(blocks, left[d], strict=True):
                parts = (block.by_corner.mT @ r[:, None, :, None]).squeeze(-1)
                total.index_add_(0, block.patches.flatten(), parts.flatten(0, 1))
            own[d] = total
        found = self._border.added(own, SLOPE)
        return {d: slope - self._dropped[d] * y[d] for d, slope in found.items()}

    def solve(
        self, tolerance: float, watch: Callable[[int, Vectors], None] | None = None
    ) -> Vectors:
        """The minimiser, to a residual of ``tolerance`` times the first in the norm of M⁻¹.

        ``watch`` is called with the number of each iteration and its y.
        """
        border = self._border
        y = {d: torch.zeros_like(D) for d, D in self._dropped.items()}
        left = {d: [-r for r in own] for d, own in self.residuals.items()}
        slope = self._slope(left, y)
        direction = z = self.preconditioned(slope)
        (gain,) = border.total({d: [v] for d, v in border.dot(slope, z).items()})
        first = gain
        self.iterations = 0
        while self.iterations < self._options.iterations and gain > tolerance**2 * first:
            along = self.product(direction)
            (curvature,) = border.total({d: [self._bend(d, along, direction)] for d in along})
            if not curvature > 0.0:
                break
            alpha = gain / curvature
            y = {d: v + alpha * direction[d] for d, v in y.items()}
            left = {
                d: [r - alpha * q for r, q in zip(own, along[d], strict=True)]
                for d, own in left.items()
            }
            slope = self._slope(left, y)
            z = self.preconditioned(slope)
            (fresh,) = border.total({d: [v] for d, v in border.dot(slope, z).items()})
            direction = {d: v + (fresh / gain) * direction[d] for d, v in z.items()}
            gain = fresh
            self.iterations += 1
            if watch is not None:
                watch(self.iterations, y)
        return y

    def _bend(self, d: int, along: dict[int, list[torch.Tensor]], direction: Vectors) -> float:
        counted = next(r for r in self._border.owned if r.index == d).counted
        held = self._dropped[d] * direction[d] * direction[d]
        return sum(float((q * q).sum()) for q in along[d]) + float(held[counted].sum())

    def from_basis(self, y: Vectors) -> torch.Tensor:
        """The weights of all patches (S, B) in the features' own coordinates, on every process."""
        own = {d: (self.basis[d] @ v[..., None]).squeeze(-1) for d, v in y.items()}
        return self._border.whole(own, self._patches.grid.patches)

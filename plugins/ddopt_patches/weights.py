"""How much conditions weigh against the equation: chosen, not asked for.

    β = 3 min over patches p of ‖J_p‖_F / ‖C_p‖_F

J_p are the columns of patch p in the rows of the equation, C_p those in the rows of the condition,
both with the roots of their quadrature weights. So a condition has three times the slope of the
equation where the equation is weakest, and less elsewhere. It follows the units of both, the order
of the equation and the size of the cells: for −Δu and cells of width h it grows like h^(-3/2).

Values at points of the user's own (``Observed``) have a factor that can be given. With 3 they guide
a nonlinear iteration, and bend the solution to the noise of the nearest point if they have noise.
With 0.03 the solution is, of all that satisfy the equation, the one that fits them best: the
least-squares estimate.

A larger weight costs accuracy where cells are graded to a singular corner (the large cells decide
there, not the small ones), a smaller one on waves: see the table in docs/patches.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ddopt_patches.observations import Observed

if TYPE_CHECKING:
    from ddopt_patches.rows import Rows

FACTOR = 3.0  # of the smallest ratio: conditions are few and exact
OTHERWISE = 100.0  # where the equation has no slope that could be compared with


def squares(rows: Rows, weights: torch.Tensor) -> torch.Tensor:
    """The sum of squares of each patch's columns, shape (S,)."""
    found = torch.zeros(len(weights), dtype=torch.float64)
    for piece in rows.pieces():
        block = piece.linearised(weights)[1]
        own = block.by_corner.square().sum((2, 3))
        found.index_add_(0, block.patches.flatten(), own.flatten())
    return found


def balanced(
    equation: Sequence[Rows],
    conditions: Sequence[Rows],
    weights: torch.Tensor,
    observed: float = FACTOR,
    local: int | None = None,
) -> list[Rows]:
    """The rows of the conditions with their β, at output weights (S, outputs, K).

    ``observed`` is the factor of values at points of the user's own. ``local`` is the number of
    patches around nodes, which are compared: a coarse network over the whole domain is so smooth
    that the equation hardly feels it, and conditions would lose their weight to it.
    """
    if not conditions:
        return []
    whole = torch.stack([squares(rows, weights) for rows in equation]).sum(0)
    found = []
    for rows in conditions:
        own = squares(rows, weights) / rows.weight**2
        ratios = (whole / own)[:local][((own > 0) & (whole > 0))[:local]]
        factor = observed if isinstance(rows.equation.function, Observed) else FACTOR
        chosen = factor * float(ratios.min().sqrt()) if len(ratios) else OTHERWISE
        found.append(rows.scaled(chosen))
    return found

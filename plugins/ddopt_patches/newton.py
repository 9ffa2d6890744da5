"""Gauss-Newton on a system of patches, undamped: full steps, as the recipe of the linear case has
it.

The first steps are taken whatever f says (non-monotone: from far away the linear model is right
about where to go and wrong about f); after them a step is halved until f decreases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ddopt_patches.free_start import BEYOND
from ddopt_patches.least_squares import DROP, REFINEMENTS, LeastSquares
from ddopt_patches.system import System, as_promised, by_group, squares

FREE = 3  # full steps that need not decrease f
SHORTEST = 1e-3  # of a full step
EXACT = 1e-3  # of f: so near the linear model's promise another step brings nothing
Jets = Callable[[torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class Step:
    """One Gauss-Newton step: where it ended, and what it took."""

    weights: torch.Tensor  # (S, outputs, K)
    value: float  # f there
    promised: float  # f of the linear model there
    length: float  # share of the full step
    kept: int  # unknowns that the orthonormal bases kept
    groups: tuple[Sequence[float], Sequence[float]] = ((), ())  # both of each group of rows


def solve(
    system: System,
    weights: torch.Tensor | None = None,
    start: Jets | None = None,
    steps: int = 20,
    stop: float = 0.9,
    drop: float = DROP,
    exact: float = EXACT,
    observe: Callable[[Step], None] | None = None,
) -> Step:
    """Minimise f from ``weights``, or from the linearisation about ``start``, or from zero.

    Ends where ‖r‖² of each group of rows is within ``exact`` of what the linear model promised
    (less where a singularity keeps it large), after ``steps`` steps, or, once f must decrease, with
    a step that leaves more than ``stop`` of it.
    """
    c, value = (system.zeros() if weights is None else weights), float("inf")
    if weights is not None:
        value = squares(system.residuals(c))
    found = Step(c, value, value, 0.0, 0)
    for k in range(steps):
        before = found.value
        about = start if k == 0 and weights is None else None
        found = one_step(system, found.weights, before, k < FREE, about, drop)
        if observe is not None:
            observe(found)
        if found.length and as_promised(*found.groups, exact):
            break  # the linear model was right: its minimum is reached
        if k >= FREE and not found.value < stop * before:
            break
    return found


def one_step(
    system: System, c: torch.Tensor, value: float, free: bool, about: Jets | None, drop: float
) -> Step:
    """One step from the output weights ``c``; about a function instead where it is given."""
    if about is None:
        residuals, blocks = system.linearised(c)
    else:
        residuals, blocks = system.linearised_about(about)
        c = torch.zeros_like(c)
    model = LeastSquares(blocks, system.levels, system.patches.grid.patches, drop)
    y = model.solve_in_basis(residuals, REFINEMENTS)
    promised = by_group([r + q for r, q in zip(residuals, model.product(y), strict=True)])
    d = model.from_basis(y).view_as(c)
    length, kept = 1.0, model.kept
    del blocks, model
    while True:
        trial = c + length * d
        groups = by_group(system.residuals(trial))
        new = sum(groups)
        if new < value or (free and new <= BEYOND * value):
            return Step(trial, new, sum(promised), length, kept, (groups, promised))
        if length < SHORTEST:
            return Step(c, value, sum(promised), 0.0, kept)
        length /= 2.0

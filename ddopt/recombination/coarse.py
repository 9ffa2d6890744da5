"""The coarse space: the best step in the span of the local steps, the gradient and the last step.

Legend: Z (n, c) the columns, a (c,) coefficients, B the curvature at hand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ddopt.numerics.blas import one_thread
from ddopt.numerics.vectors import LOCAL, Geometry, dot
from ddopt.recombination.recombination import Corrections, Recombination, Recombined
from ddopt.subproblem.secular import minimise_in_ball

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.decomposition import Subdomain
    from ddopt.evaluation.problem import Problem

DEPENDENT = 1e-10  # columns whose part outside the others is below this share of them are dropped


@one_thread()
def minimise_in_span(
    columns: list[torch.Tensor],
    gradient: torch.Tensor,
    product: Callable[[torch.Tensor], torch.Tensor],
    radius: float,
    measure: Geometry = LOCAL,
) -> tuple[torch.Tensor, float]:
    """argmin of <g, p> + ½ <p, B p> over p in the span of the columns with ‖p‖ <= radius.

    Args:
        columns: vectors (n,), dependent ones allowed.
        gradient: g (n,).
        product: v ↦ B v.
        radius: of the ball in the 2-norm.
        measure: the inner product of the vectors.

    Returns:
        The step (n,), and the decrease of the model, >= 0; nan where B is not finite.
    """
    lengths = [measure.norm(column) for column in columns]
    unit = [c / length for c, length in zip(columns, lengths, strict=True) if length > 0.0]
    if not unit:  # a stationary point, from which no subdomain has moved
        return torch.zeros_like(gradient), 0.0
    Z = torch.stack(unit)
    gram = inner(Z, Z, measure)
    weight, V = np.linalg.eigh(gram)
    kept = weight > DEPENDENT * weight[-1]
    basis = V[:, kept] / np.sqrt(weight[kept])  # Zᵀ basis has orthonormal columns
    BZ = torch.stack([product(row) for row in Z])
    products = inner(Z, BZ, measure)
    if not np.isfinite(products).all():
        return torch.zeros_like(gradient), math.nan
    curvature = basis.T @ products @ basis
    values, U = np.linalg.eigh(0.5 * (curvature + curvature.T))
    slopes = U.T @ (basis.T @ inner(Z, gradient[None], measure)[:, 0])
    solution = minimise_in_ball(values, slopes, radius)
    coefficients = torch.from_numpy(basis @ (U @ solution.coordinates)).to(Z)
    return coefficients @ Z, solution.decrease


def inner(rows: torch.Tensor, columns: torch.Tensor, measure: Geometry) -> np.ndarray:
    """All inner products of two small sets of vectors (p, n) and (q, n), in float64."""

    def piece(block: slice) -> torch.Tensor:
        table = [[dot(row[block], column[block]) for column in columns] for row in rows]
        return torch.tensor(table, dtype=torch.float64)

    return measure.total(piece).numpy()


class Coarse(Recombination):
    """Minimises the quadratic model over span{R_1ᵀs_1, .., R_Nᵀs_N, −g, last step} in the ball.

    Never worse in the model than the sum, the mean or the Cauchy step, since it contains them all.
    B is exact: N + 2 products with the Hessian, each charged as two evaluations
    (ddopt/evaluation/meter.py).
    """

    name = "coarse"

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._last: torch.Tensor | None = None

    def combine(self, corrections: Corrections) -> Recombined:
        """The coarse minimiser, and the coarse model's decrease as the prediction."""
        point = corrections.point
        columns = [*corrections.each(), -point.gradient]
        if self._last is not None:
            columns.append(self._last)
        product, geometry = corrections.curvature(), corrections.problem.geometry
        step, decrease = minimise_in_span(
            columns, point.gradient, product, corrections.radius, geometry
        )
        if decrease > 0.0:
            self._last = step
        return Recombined(step, decrease)

    def ball(
        self, radius: float, subdomains: list[Subdomain], problem: Problem, norm: str = "2"
    ) -> float:
        """Δ: the step is cut to it, whatever the columns are."""
        return radius

    def state_dict(self) -> dict[str, Any]:
        """The last step, where there is one."""
        return {} if self._last is None else {"last": self._last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the last step."""
        self._last = state.get("last")

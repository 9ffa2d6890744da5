"""Whether a gradient can be believed, from the values of f beside it.

One wrong entry of a gradient, say 1e30 after a fault in memory or in a kernel, is finite, and f may
be right beside it. A step that is taken to such a point leads nowhere, and the pair (s, y) that is
learned from it spoils every later model.

Legend: s a step from θ to θ⁺, y the change of the gradient along it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point
    from ddopt.numerics.vectors import Geometry

# Where f >= 0 and |∇²f| <= L, ‖∇f‖² <= 2 L f. So ‖s‖‖∇f‖/f is at most 2√κ for a step to the
# minimum of a quadratic of condition κ, 2e8 for the worst that double precision knows. No unit of f
# or θ enters it.
MOST = 1e20


class Credence:
    """Compares gradients with values; remembers the largest entry at the point it saw last."""

    def __init__(self) -> None:
        self._last: Point | None = None
        self._largest = 0.0

    def believes(self, point: Point, trial: Point, length: float, geometry: Geometry) -> bool:
        """Whether ‖s‖ max(‖∇f(θ)‖_∞, ‖∇f(θ⁺)‖_∞) fits max(|f(θ)|, |f(θ⁺)|), ``length`` ‖s‖.

        Asks for both gradients; a collective where vectors lie in pieces.
        """
        entries = self._at(point, geometry), self._at(trial, geometry)
        if not all(map(math.isfinite, entries)):
            return False
        largest, values = max(entries), max(abs(point.value), abs(trial.value))
        if not (largest > 0.0 and values > 0.0 and length > 0.0):
            return True
        # Sums of logarithms: the products may be too large, or too small, to be numbers.
        return math.log(largest) + math.log(length) <= math.log(MOST) + math.log(values)

    def _at(self, point: Point, geometry: Geometry) -> float:
        if point is not self._last:
            self._last, self._largest = point, point.largest(geometry)
        return self._largest

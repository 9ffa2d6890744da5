"""Work: evaluations and the linear algebra beside them, counted in one unit and never timed.

The unit is an evaluation, as everywhere (``ddopt.evaluation.meter``). Linear algebra is no
evaluation and is not charged to a meter; a solver that chooses between methods needs it all the
same. Floating-point operations are counted exactly; how many of them an evaluation is worth was
measured once on one thread (docs/design/gauss_newton.md) and is a fixed number, so that the choice
is the same on every machine.

Legend: m residuals, n parameters.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

# Operations of dense matrices in the time of an evaluation, for each of the m n entries of J: an
# evaluation of a small network has few operations and is far from the machine's speed.
DENSE = 430.0
# The same for passes over a matrix in memory, which is slower still, for each entry.
PASSES = 3.3
RECENT = 10  # iterations of which a rate is taken, unless somebody says otherwise


def factorisation(m: int, n: int) -> float:
    """The Gram matrix of the smaller side k = min(m, n), m n k operations, and its Cholesky, k³."""
    k = min(m, n)
    return k / DENSE * (1.0 + k * k / max(m * n, 1))


def matrix_update(m: int, n: int) -> float:
    """An iteration of a dense quasi-Newton matrix (n, n): a few passes over it."""
    return n / max(m, 1) / PASSES


class Account:
    """What the last iterations have gained, and the work that they took."""

    def __init__(self, recent: int = RECENT) -> None:
        self.spent = self.gained = 0.0  # by all iterations
        self._rows: deque[tuple[float, float]] = deque(maxlen=recent)

    def __len__(self) -> int:
        """How many iterations are remembered."""
        return len(self._rows)

    @property
    def full(self) -> bool:
        """Whether there are enough for a rate that can be believed."""
        return len(self._rows) == self._rows.maxlen

    def enter(self, gain: float, work: float) -> None:
        """Add an iteration."""
        self.spent += work
        self.gained += gain
        self._rows.append((gain, work))

    @property
    def rate(self) -> float:
        """The gain per unit of work, over the iterations that are remembered."""
        work = math.fsum(work for _, work in self._rows)
        return math.fsum(gain for gain, _ in self._rows) / work if work > 0.0 else 0.0

    def state_dict(self) -> dict[str, Any]:
        """The sum and the rows."""
        rows = [list(row) for row in self._rows]
        return {
            "spent": self.spent,
            "gained": self.gained,
            "rows": rows,
            "recent": self._rows.maxlen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.spent, self.gained = float(state["spent"]), float(state["gained"])
        rows = [(float(gain), float(work)) for gain, work in state["rows"]]
        self._rows = deque(rows, maxlen=int(state["recent"]))

"""Weight decay that follows from the length of the steps: no constant of its own to tune.

A walk whose steps of length d point anywhere goes away from where it began: the mean square r² of a
matrix grows by d² in a step. A decay x ← (1 − ½ (d/R)²) x takes (d/R)² r² of it away, so that r
stays below R. Decay and noise balance so under AdamW, too, where the rate of the decay must be
given (Kosson, Messmer and Jaggi, arXiv 2305.17212). Here R follows from the first weights.

Legend: x (n,) the iterate, d the root mean square of a step, r that of a matrix in x.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ddopt.numerics.space import Layout


class Decay:
    """Shrinks matrices, of which R is the first root mean square over ``share``; 0: none.

    What has one dimension (biases, scales), and what begins with zeros, does not decay.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.first: list[float] | None = None  # r of every parameter where the walk began

    def begin(self, layout: Layout, x: torch.Tensor) -> None:
        """Measure the matrices in ``x`` (n,), where nobody has yet."""
        if self.first is not None or self.share == 0.0:
            return
        kinds = zip(layout.shapes, layout.slices, strict=True)
        self.first = [_size(x[where]) if len(shape) >= 2 else 0.0 for shape, where in kinds]

    def shrink(self, layout: Layout, x: torch.Tensor, d: float, steps: int = 1) -> None:
        """x ← (1 − ½ (d/R)²)^steps x, in place; a factor below zero is none.

        One pass over x for several ``steps`` is as good, as each takes little.
        """
        for first, where in zip(self.first or (), layout.slices, strict=False):
            if first > 0.0:
                factor = max(0.0, 1.0 - 0.5 * (self.share * d / first) ** 2)
                x[where].mul_(factor**steps)

    def state_dict(self) -> dict[str, Any]:
        """The first sizes."""
        return {"first": self.first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        first = state["first"]
        self.first = None if first is None else [float(r) for r in first]


def _size(entries: torch.Tensor) -> float:
    return math.sqrt(float(entries.double().square().mean())) if entries.numel() else 0.0

"""Distance adaptation: the length of the steps from the distance that they have to go.

Source: Mishchenko and Defazio, Prodigy, arXiv 2306.06101: by convexity Σ <g_j, x_0 − x_j> is a
lower bound of what the distance to the minimiser times the dual norm of Σ g_j can be; the length
is the largest bound seen. Legend: d the length, r and s the two decaying sums, x_0 the origin.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.numerics.reading import Number
    from ddopt.numerics.vectors import Geometry

EVERY = 10  # steps between two looks at the dual norm, which costs as much as a direction
DECAY = 0.995


class Distance:
    """d, and what it is estimated from; starts at ``first`` and grows by itself."""

    def __init__(self, first: float) -> None:
        self.d = first
        self.most = math.inf
        self.r = 0.0
        self.count = 0
        self.origin: torch.Tensor | None = None  # x_0, shape: (n_d,)
        self.sum: torch.Tensor | None = None  # s over its scale, shape: (n_d,)
        self.scale = 1.0  # s decays here, which costs no pass over it

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate both vectors."""
        self.origin, self.sum = torch.zeros_like(like), torch.zeros_like(like)

    def reach(self, x: torch.Tensor, g: torch.Tensor, geometry: Geometry) -> Number:
        """<g, x_0 − x> of a gradient ``g`` at ``x``, both (n_d,), on its way."""
        if self.origin is None or self.sum is None:
            self.origin, self.sum = torch.empty_like(x), torch.zeros_like(x)
        if self.count == 0:
            self.origin.copy_(x)
        return geometry.estimate(g, self.origin, less=x)

    def update(
        self,
        g: torch.Tensor,
        reach: float,
        geometry: Geometry,
        steepest: Callable[[torch.Tensor], torch.Tensor],
    ) -> bool:
        """Learn the gradient ``g`` (n_d,) of that ``reach``; <s, steepest(s)> is the dual norm.

        Returns whether g is finite; of one that is not nothing is learned.
        """
        if not math.isfinite(reach):
            return False
        assert self.sum is not None, "reach() comes first"
        self.count += 1
        weight = (1.0 - DECAY) * self.d * self.d
        self.r = DECAY * self.r + weight * reach
        self.scale *= DECAY
        self.sum.add_(g, alpha=weight / self.scale)
        if self.count % EVERY and self.count > EVERY:
            return True
        self.sum.mul_(self.scale)
        self.scale = 1.0
        if self.r > 0.0:
            dual = geometry.dot(self.sum, steepest(self.sum))
            if dual > 0.0:
                self.d = max(self.d, min(self.r / dual, self.most))
        return True

    def shorten(self) -> None:
        """Half of d, and never more again: the bound has promised too much, and is learned anew."""
        self.d *= 0.5
        self.most, self.r, self.count, self.scale = self.d, 0.0, 0, 1.0
        if self.sum is not None:
            self.sum.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Everything."""
        state = {"d": self.d, "most": self.most, "r": self.r, "count": self.count}
        state["scale"] = self.scale
        return state if self.sum is None else {**state, "origin": self.origin, "sum": self.sum}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        names = ("d", "most", "r", "scale")
        self.d, self.most, self.r, self.scale = (float(state[name]) for name in names)
        self.count = int(state["count"])
        self.origin, self.sum = copied(state, "origin"), copied(state, "sum")


def copied(state: dict[str, Any], name: str) -> torch.Tensor | None:
    """A vector of a state, to be written into; None where it has not been made yet."""
    vector = state.get(name)
    return None if vector is None else vector.clone()

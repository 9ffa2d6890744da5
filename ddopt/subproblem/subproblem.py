"""Trust-region subproblems: minimise the model in a ball."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ddopt.setup.component import Component

if TYPE_CHECKING:
    import torch

    from ddopt.hessian.model import Model


@dataclass(frozen=True)
class Candidate:
    """A step, the decrease of the model that it brings (≥ 0), and its length."""

    step: torch.Tensor  # shape: (n,)
    predicted: float
    norm: float


class Subproblem(Component):
    """Minimises m(p) = <g, p> + ½ <p, B p> over ‖p‖ ≤ Δ, exactly or well enough."""

    seam = "subproblem"

    @abstractmethod
    def solve(self, model: Model, radius: float) -> Candidate:
        """A step of norm at most ``radius``, at least as good as the Cauchy step.

        Raises ``ValueError`` if it needs more structure than the model has.
        """

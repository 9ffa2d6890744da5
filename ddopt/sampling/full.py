"""Full batch: D is everything, in every iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.sampling.sampling import Sampling

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Samples


class Full(Sampling):
    """The deterministic regime (APTS)."""

    name = "full"
    whole = True

    def samples(self, full: Samples, iteration: int) -> Samples:
        """Everything."""
        return full

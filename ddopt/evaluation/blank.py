"""A problem of which only the layout is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.evaluation.problem import Problem, Samples

if TYPE_CHECKING:
    import torch

    from ddopt.evaluation.problem import Point
    from ddopt.numerics.space import Layout


class Blank(Problem):
    """A problem of which only the layout is known; good for finding out who moves what."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.samples = Samples.all(1 << 20)

    def at(self, theta: torch.Tensor) -> Point:
        """Never called."""
        raise AssertionError("a blank problem has no values")

    def stages(self) -> list[slice]:
        """There are none: asked for where a method of a pipeline was given a closure."""
        raise ValueError(
            "a closure evaluates the whole network at once and cannot be cut into stages; choose "
            "variant 'P', which decomposes layers, or a run file with strategy = 'sapts_ip'"
        )

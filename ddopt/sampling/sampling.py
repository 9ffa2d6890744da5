"""Samplings: which samples are D in each outer iteration.

The samples follow from the number of the draw and from what was observed before it: iterations that
share a draw share its samples, and a resumed run sees the batches that it would have seen.
An engine that is given a problem of another draw evaluates f and g at θ_k anew, so inside one
iteration all values, ratios and secant pairs belong to the same samples. Across iterations,

- the curvature memory holds pairs of several batches, each pair of one batch: y = ∇f(θ + s; D) −
  ∇f(θ; D) measures curvature, never the difference between two batches;
- a non-monotone acceptance window compares losses of different batches: its reference is then the
  worst recent *batch* loss, a tolerance for the noise of sampling;
- the loss of a report is that of the iteration's batch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem, Samples
    from ddopt.method.parts import StepReport


class Sampling(Component):
    """Chooses D for each outer iteration. ``prepare`` comes first and is called once."""

    seam = "sampling"

    whole: ClassVar[bool] = False  # whether D is everything, whatever the options
    seed: int = 0

    def prepare(self, seed: int) -> None:
        """Take the seed of the run."""
        self.seed = seed

    @abstractmethod
    def samples(self, full: Samples, iteration: int) -> Samples:
        """D of an iteration, out of ``full``; ``full`` itself where it is everything."""

    def draw(self, iteration: int) -> int:
        """The number of an iteration's draw: iterations that share samples share it."""
        return iteration

    def problem(self, whole: Problem, iteration: int) -> Problem:
        """f of an iteration: over its samples, with random numbers (augmentation) of its own."""
        number = self.draw(iteration)
        drawn = whole.drawn(number)
        if whole.samples is None:
            return drawn
        samples = self.samples(whole.samples, iteration)
        if samples is whole.samples:
            return drawn
        part = drawn.part(samples)
        part.draw = number + 1  # 0 is the whole problem, with nothing drawn
        return part

    def observe(self, report: StepReport) -> None:
        """Learn how an iteration went; the samples of the next *draw* may depend on it."""

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

import torch

from ddopt.evaluation.problem import Samples
from ddopt.method.blame import blamed, broken
from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
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
        with blamed(self, "draw()"):
            number = self.draw(iteration)
        if not (isinstance(number, int) and number >= 0):
            raise broken(self, "draw()", "the number of a draw, a whole number from 0", number)
        drawn = whole.drawn(number)
        if whole.samples is None:
            return drawn
        with blamed(self, "samples()"):
            samples = self.samples(whole.samples, iteration)
        if samples is whole.samples:
            return drawn
        self._look_at(samples, whole.samples)
        part = drawn.part(samples)
        part.draw = number + 1  # 0 is the whole problem, with nothing drawn
        return part

    def _look_at(self, found: Samples, full: Samples) -> None:
        """Whether they are some of all samples; cheaply, for it is done in every iteration."""
        wanted = "ddopt.Samples with numbers of samples, a tensor of integers for each term of the "
        wanted += "loss"
        if not isinstance(found, Samples) or len(found.terms) != len(full.terms):
            raise broken(self, "samples()", wanted, found)
        for term, everything in zip(found.terms, full.terms, strict=True):
            if not isinstance(term, torch.Tensor) or term.dtype not in (torch.int64, torch.int32):
                raise broken(self, "samples()", wanted, term)
            if not len(term):
                raise broken(self, "samples()", f"{wanted}, at least one", "none of a term")
            least, most = int(everything.min()), int(everything.max())
            if int(term.min()) < least or int(term.max()) > most:
                shown = f"numbers from {int(term.min())} to {int(term.max())}"
                raise broken(self, "samples()", f"samples of D, {least} to {most}", shown)

    def observe(self, report: StepReport) -> None:
        """Learn how an iteration went; the samples of the next *draw* may depend on it."""

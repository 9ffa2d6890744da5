"""Decompositions: how the samples and the parameters are cut into subdomains."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ddopt.component import Component
from ddopt.scaled import Scaled
from ddopt.space import Indices, extent, prolong, restrict

if TYPE_CHECKING:
    from ddopt.problem import Point, Problem, Samples


@dataclass(frozen=True)
class Subdomain:
    """What one subdomain sees and moves: the samples D_d and the parameters C_d.

    ``samples=None`` is all of D, ``indices=None`` all parameters. ``weight`` is the share of D that
    it stands for, |D_d|/|D|; weighted recombinations and predictions use it. ``proportional`` keeps
    the weights that the terms of the loss have in f, where D_d holds unequal shares of them.
    """

    index: int
    indices: Indices = None
    samples: Samples | None = None
    weight: float = 1.0
    proportional: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is the problem itself: every sample, every parameter."""
        return self.indices is None and self.samples is None

    def restrict(self, vector: torch.Tensor) -> torch.Tensor:
        """R_d v: from (n,) to (n_d,)."""
        return restrict(vector, self.indices)

    def prolong(self, part: torch.Tensor, n: int) -> torch.Tensor:
        """R_dᵀ v_d: from (n_d,) to (n,)."""
        return prolong(part, self.indices, n)

    def size(self, n: int) -> int:
        """n_d, the number of parameters it moves, of n."""
        return n if self.indices is None else extent(self.indices)

    def objective(self, problem: Problem, point: Point) -> Problem:
        """f_d: the loss over D_d as a function of the parameters in C_d, around θ_k = ``point``."""
        if self.samples is not None and self.proportional:
            assert problem.samples is not None
            share = problem.share(self.samples)
            problem = Scaled(share, len(problem.samples) / len(self.samples))
        elif self.samples is not None:
            problem = problem.part(self.samples)
        return problem.frozen(point, self.indices)


class Decomposition(Component):
    """Cuts one iteration's problem into subdomains."""

    seam = "decomposition"

    @abstractmethod
    def split(self, problem: Problem) -> list[Subdomain]:
        """The subdomains of ``problem``, indexed 0..N-1, the same in every process."""

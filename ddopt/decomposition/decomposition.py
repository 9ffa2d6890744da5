"""Decompositions: how the samples and the parameters are cut into subdomains."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.derived import held
from ddopt.evaluation.scaled import Scaled
from ddopt.numerics.space import Indices, extent, prolong, restrict
from ddopt.numerics.vectors import fingerprint
from ddopt.setup.component import Component

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Point, Problem, Samples


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
        """f_d: the loss over D_d as a function of the parameters in C_d, around θ_k = ``point``.

        It has no additional samples: they judge steps of f, in vectors of all parameters.
        """
        whole = problem
        if self.samples is not None and self.proportional:
            assert problem.samples is not None
            share = problem.share(self.samples)
            problem = Scaled(share, len(problem.samples) / len(self.samples))
        elif self.samples is not None:
            problem = problem.part(self.samples)
        local = held(problem, point, self.indices)
        if local is not whole:
            local.extra = None  # a problem that is a changed copy has those of the original
        return local


def validate(subdomains: list[Subdomain], n: int) -> torch.Tensor:
    """Whether subdomains can be solved at all; returns which of the ``n`` parameters one moves.

    Raises ``ValueError`` for numbers other than 0..N-1, and for indices that are no distinct
    positions of a vector of length n.
    """
    found = [getattr(subdomain, "index", None) for subdomain in subdomains or ()]
    if not found or found != list(range(len(found))):
        raise ValueError(
            "split() must give a list of subdomains that are numbered 0..N-1; it gave "
            f"{f'the numbers {found}' if found else subdomains}"
        )
    moved = torch.zeros(n, dtype=torch.bool)
    for subdomain in subdomains:
        own = torch.zeros_like(moved)
        try:
            own[slice(None) if subdomain.indices is None else subdomain.indices] = True
            distinct = int(own.sum()) == subdomain.size(n) > 0
            if isinstance(subdomain.indices, torch.Tensor):
                distinct = distinct and int(subdomain.indices.min()) >= 0
        except (AttributeError, IndexError, TypeError):
            distinct = False
        if not distinct:
            raise ValueError(
                f"subdomain {subdomain.index}: its indices must be a slice with start and stop, or "
                f"a tensor of distinct integers in 0..{n - 1}, at least one; they are "
                f"{_described(subdomain.indices)}"
            )
        moved |= own
    return moved


def inventory(subdomains: list[Subdomain], n: int, *, parameters: bool = True) -> str:
    """Subdomains in a line that differs where one of them does; of ``n`` parameters.

    Without ``parameters`` it is silent about those: of stages every process sees its own.
    """
    marks = []
    for one in subdomains:
        terms = one.samples.terms if one.samples is not None else ()
        marks += [fingerprint(term) for term in terms]
        if parameters and one.indices is not None:
            marks += [fingerprint(torch.arange(n)[one.indices])]
    sizes = f" of {[one.size(n) for one in subdomains]} parameters" if parameters else ""
    samples = [None if one.samples is None else one.samples.counts for one in subdomains]
    weights = [one.weight for one in subdomains]
    mark = fingerprint(torch.tensor(list("".join(marks).encode()), dtype=torch.uint8))
    return f"{len(subdomains)}{sizes}, samples {samples}, weights {weights}, indices {mark}"


def _described(indices: object) -> str:
    if not isinstance(indices, torch.Tensor) or indices.numel() == 0:
        return f"{' '.join(f'{indices}'.split()):.80}"
    found, within = indices.unique().numel(), f"{indices.min().item()}..{indices.max().item()}"
    return f"{indices.numel()} of {indices.dtype} in {within}, {found} of them distinct"


class Decomposition(Component):
    """Cuts one iteration's problem into subdomains."""

    seam = "decomposition"
    complementary = False  # each subdomain moves a place of its own: keeping one end alone is lost
    seed: int = 0  # of the run

    def prepare(self, seed: int) -> None:
        """Take the seed of the run, once and before ``split``; the random numbers follow from it.

        A torch optimizer has no seed and does not call it.
        """
        self.seed = seed

    @abstractmethod
    def split(self, problem: Problem) -> list[Subdomain]:
        """The subdomains of ``problem``, indexed 0..N-1, the same in every process.

        Together they have every sample and every parameter; both may be in several of them.
        """

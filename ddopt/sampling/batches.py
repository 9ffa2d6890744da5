"""Mini-batches: an epoch's samples in a random order, cut into overlapping pieces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field

from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator
from ddopt.sampling.sampling import Sampling
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from ddopt.method.parts import StepReport


class Batches(Sampling):
    """Mini-batches that partition an epoch, each with some of the samples of the one before it.

    In an epoch of n samples there are B = ⌈n / size⌉ mini-batches of n/B samples of their own, in
    an order that depends on the seed and the epoch alone. Each also sees the last ``overlap`` of
    its predecessor's own samples, across the epochs' borders too, as the paper has it (arXiv
    2502.05133, section 3).

    ``growth`` makes the stochastic regime end in the deterministic one: where the loss stagnates,
    the batches grow, until one of them is everything. What has grown is the only state.
    """

    name = "batches"

    class Config(Settings):
        """Size, overlap and growth of the mini-batches."""

        size: int = Field(10_000, ge=1, description="samples of each mini-batch of its own")
        overlap: float = Field(
            0.05,
            ge=0.0,
            lt=1.0,
            description="fraction of the previous mini-batch that is seen again (the paper's 5 %)",
        )
        iterations: int = Field(1, ge=1, description="outer iterations on each mini-batch")
        growth: float = Field(
            1.0, ge=1.0, description="factor by which the size grows on stagnation; 1: never"
        )
        patience: int = Field(
            10,
            ge=1,
            description="stagnation is when the mean loss of this many iterations is not below "
            "that of as many before",
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.size = float(self.config.size)
        self._since = 0  # the draw from which on the size is this one
        self._losses: list[float] = []  # of the last iterations, since the last growth
        self._orders: dict[tuple[int, int, int], torch.Tensor] = {}  # a cache of two epochs

    def draw(self, iteration: int) -> int:
        """One draw for each mini-batch."""
        return iteration // int(self.config.iterations)

    def samples(self, full: Samples, iteration: int) -> Samples:
        """The mini-batch of an iteration."""
        count = self._batches(full)
        if count == 1:
            return full
        number = self.draw(iteration) - self._since
        previous = self._own(full, number - 1, count) if number else None
        terms = []
        for t, own in enumerate(self._own(full, number, count)):
            again = own[:0]
            if previous is not None:
                shared = round(self.config.overlap * len(previous[t]))
                again = previous[t][len(previous[t]) - shared :]
                again = again[~torch.isin(again, own)]  # an epoch may begin as the last one ended
            terms.append(full.terms[t][torch.cat([again, own]).sort().values])
        return Samples(tuple(terms))

    def _batches(self, full: Samples) -> int:
        """B, the mini-batches of an epoch; each has a sample of every term."""
        fewest = min((count for count in full.counts if count), default=1)
        return min(math.ceil(len(full) / self.size), fewest)

    def _own(self, full: Samples, number: int, count: int) -> list[torch.Tensor]:
        """The places in ``full`` of the samples that a mini-batch shares with no other."""
        epoch, i = divmod(number, count)
        owned = []
        for t, n in enumerate(full.counts):
            order = self._order(epoch, t, n)
            owned.append(order[i * n // count : (i + 1) * n // count])
        return owned

    def _order(self, epoch: int, term: int, n: int) -> torch.Tensor:
        where = (self._since, epoch, term)
        if where not in self._orders:
            kept = {e: order for e, order in self._orders.items() if abs(e[1] - epoch) <= 1}
            random = generator(self.seed, "batches", *where)
            self._orders = {**kept, where: torch.randperm(n, generator=random)}
        return self._orders[where]

    def observe(self, report: StepReport) -> None:
        """Grow where the loss stagnates."""
        if self.config.growth == 1.0:
            return
        patience = self.config.patience
        self._losses = [*self._losses, report.loss][-2 * patience :]
        if not self._last_of_draw(report.iteration) or len(self._losses) < 2 * patience:
            return
        before, lately = self._losses[:patience], self._losses[patience:]
        if math.fsum(lately) < math.fsum(before):
            return
        self._grow(report.iteration)
        self._losses = []

    def _last_of_draw(self, iteration: int) -> bool:
        """Whether the next iteration has other samples: what is learned has an effect then only."""
        return self.draw(iteration + 1) != self.draw(iteration)

    def _grow(self, iteration: int) -> None:
        self.size *= self.config.growth
        self._since = self.draw(iteration) + 1

    def state_dict(self) -> dict[str, Any]:
        """How far the batches have grown, and the losses that decide when they grow next."""
        if self.config.growth == 1.0:
            return {}
        return {"size": self.size, "since": self._since, "losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the size and the losses."""
        if state:
            self.size, self._since = float(state["size"]), int(state["since"])
            self._losses = [float(loss) for loss in state["losses"]]

"""Clusters of the samples: ``decomposition = "clusters"``.

Subdomain d sees the samples of the d-th cluster of k-means (Lloyd, IEEE Trans. Inf. Theory 28,
1982) on the problem's coordinates: points of an equation by their place, images by their pixels,
texts by their characters. Each term of the loss is clustered by itself. Where a cluster would have
no sample of a term, it takes the one that is nearest to its centre of those that leave no other
cluster empty.
"""

from __future__ import annotations

import torch
from pydantic import Field

import ddopt


class Clusters(ddopt.Decomposition):
    """N clusters of the samples, all parameters in each."""

    name = "clusters"

    class Config(ddopt.Settings):
        subdomains: int = Field(2, ge=1, description="number of clusters N")
        rounds: int = Field(20, ge=1, description="rounds of Lloyd's iteration, at most")
        seed: int = Field(0, ge=0, description="seed of the first centres")

    def split(self, problem: ddopt.Problem) -> list[ddopt.Subdomain]:
        count, samples = self.config.subdomains, problem.samples
        if samples is None or min(samples.counts) < count:
            raise ValueError(
                f"{count} clusters need as many samples of each term of the loss, and there are "
                f"{'none' if samples is None else samples.counts}; use fewer clusters"
            )
        parts: list[list[torch.Tensor]] = [[] for _ in range(count)]
        for number, term in enumerate(samples.terms):
            places = problem.coordinates(number)[term.to(problem.layout.device)]
            chosen = self._clusters(places.detach().double().cpu())
            for d in range(count):
                parts[d].append(term[chosen == d])
        whole = len(samples)
        return [
            ddopt.Subdomain(
                d,
                samples=ddopt.Samples(tuple(own)),
                weight=sum(map(len, own)) / whole,
                proportional=True,
            )
            for d, own in enumerate(parts)
        ]

    def _clusters(self, x: torch.Tensor) -> torch.Tensor:
        """The cluster of each of the points x (m, d), shape (m,); none is empty."""
        count = self.config.subdomains
        random = torch.Generator().manual_seed(self.config.seed)
        centres = x[torch.randperm(len(x), generator=random)[:count]]
        chosen = torch.full((len(x),), -1)
        for _ in range(self.config.rounds):
            far = torch.cdist(x, centres)
            before, chosen = chosen, far.argmin(dim=1)
            for d in range(count):
                if not bool((chosen == d).any()):  # from a cluster that keeps another sample
                    alone = chosen.bincount(minlength=count)[chosen] == 1
                    chosen[far[:, d].masked_fill(alone, torch.inf).argmin()] = d
            if torch.equal(before, chosen):
                break
            centres = torch.stack([x[chosen == d].mean(dim=0) for d in range(count)])
        return chosen


@ddopt.hookimpl
def ddopt_register(register):
    register(Clusters)

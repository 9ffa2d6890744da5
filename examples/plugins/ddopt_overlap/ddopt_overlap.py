"""Overlapping groups of layers with a restricted prolongation: ``decomposition = "overlap"``.

A subdomain moves the layers of its group and ``overlap`` layers on both sides; of its step only the
part of its own group is put back. Every parameter is then moved by one subdomain alone, as in a
restricted additive Schwarz method (Cai and Sarkis, SIAM J. Sci. Comput. 21, 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field

import ddopt


@dataclass(frozen=True, eq=False)
class Restricted(ddopt.Subdomain):
    """A subdomain whose step counts in a part of its parameters only."""

    own: torch.Tensor | None = None  # 1 in that part, 0 elsewhere, shape (n_d,)

    def prolong(self, part: torch.Tensor, n: int) -> torch.Tensor:
        return super().prolong(part * self.own.to(part), n)


class Overlap(ddopt.Decomposition):
    """Contiguous groups of layers that see their neighbours."""

    name = "overlap"

    class Config(ddopt.Settings):
        subdomains: int = Field(2, ge=1, description="number of groups N")
        overlap: int = Field(1, ge=0, description="layers on each side that are moved, too")

    def split(self, problem: ddopt.Problem) -> list[ddopt.Subdomain]:
        layers = list(problem.layout.layers().values())
        count = self.config.subdomains
        if count > len(layers):
            raise ValueError(
                f"{len(layers)} layers cannot be cut into {count} groups; use at most {len(layers)}"
            )
        ends = [round(d * len(layers) / count) for d in range(count + 1)]
        found = []
        for d in range(count):
            group = range(ends[d], ends[d + 1])
            first = max(ends[d] - self.config.overlap, 0)
            last = min(ends[d + 1] + self.config.overlap, len(layers))
            indices, own = [], []
            for i in range(first, last):
                for piece in layers[i]:
                    indices.append(torch.arange(piece.start, piece.stop))
                    own.append(torch.full((len(indices[-1]),), float(i in group)))
            found.append(Restricted(d, torch.cat(indices), own=torch.cat(own)))
        return found


@ddopt.hookimpl
def ddopt_register(register):
    register(Overlap)

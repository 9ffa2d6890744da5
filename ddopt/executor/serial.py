"""One process that owns every subdomain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddopt.executor.executor import Executor, tree_sum

if TYPE_CHECKING:
    import torch


class Serial(Executor):
    """Solves the subdomains in turn; nothing is sent."""

    name = "serial"

    def sum(self, vectors: dict[int, torch.Tensor], count: int, like: torch.Tensor) -> torch.Tensor:
        """Σ_d of the vectors, by ``tree_sum`` in the order of the subdomains."""
        return tree_sum(vectors, count)

    def each(
        self, vectors: dict[int, torch.Tensor], sizes: list[int], like: torch.Tensor
    ) -> list[torch.Tensor]:
        """The vectors in the order of the subdomains: this process has all of them."""
        return [vectors[d] for d in range(len(sizes))]

    def numbers(self, values: dict[int, list[float]], count: int) -> list[list[float]]:
        """The rows in the order of the subdomains: this process has all of them."""
        return [values[d] for d in range(count)]

    def pick(self, vectors: dict[int, torch.Tensor], d: int, like: torch.Tensor) -> torch.Tensor:
        """The vector of subdomain ``d``, which this process has."""
        return vectors[d]

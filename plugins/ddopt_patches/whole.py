"""A grid with one more patch that covers the whole domain: the coarse network of an FBPINN.

    u(x) = Σ_p v_p(x) N_p((x − m_p) / h_p) + N_0((x − m_0) / h_0)

The window of N_0 is 1, and m_0 and h_0 are middle and half width of the grid. It is the last patch,
and touches every cell. So it borders the block-tridiagonal normal equations (``arrow``), and
whatever cuts patches apart in space (regions, boxes, slabs) has no place for it.

Source: Dolean, Heinlein, Mishra and Moseley, Multilevel domain decomposition-based architectures
for physics-informed neural networks, Computer Methods in Applied Mechanics and Engineering 429
(2024): two levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ddopt_patches.grid import Grid


class GridAndWhole(Grid):
    """A ``Grid`` and the patch of everything, after the others.

    Raises ``ValueError`` for a periodic axis: a network of the whole axis does not close it.
    """

    def __init__(
        self, nodes: Sequence[torch.Tensor], periodic: Sequence[int] | int = (), window: str = "c3"
    ) -> None:
        super().__init__(nodes, periodic, window)
        if self.periodic:
            raise ValueError(
                f"a coarse network over the whole domain does not close the periodic axis "
                f"{min(self.periodic)}, which the patches do; leave coarse, or state the condition "
                "by another one than PeriodicBC"
            )

    whole = True

    @property
    def patches(self) -> int:
        """S, the whole one included."""
        return self.local + 1

    def touching(self, cells: torch.Tensor) -> torch.Tensor:
        """The patches that touch each cell, shape (cells, C + 1); the whole one comes last."""
        return torch.nn.functional.pad(super().touching(cells), (0, 1), value=self.local)

    def frames(self, cells: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Middle and half width of each touching patch, shapes (cells, C + 1, d)."""
        pairs = zip(super().frames(cells), self._frame(), strict=True)
        middles, halves = (torch.cat([own, one.expand(len(cells), 1, -1)], 1) for own, one in pairs)
        return middles, halves

    def boxes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Middle and half width of every patch, shapes (S, d)."""
        pairs = zip(super().boxes(), self._frame(), strict=True)
        middles, halves = (torch.cat([own, one[None]]) for own, one in pairs)
        return middles, halves

    def _frame(self) -> tuple[torch.Tensor, torch.Tensor]:
        lower, upper = self.bounds.T
        return (lower + upper) / 2, (upper - lower) / 2

    def window_jets(self, cells: torch.Tensor, x: torch.Tensor, order: int) -> torch.Tensor:
        """∂^α of the windows at points (cells, P, d), shape (cells, C + 1, P, Q); the last is 1."""
        found = super().window_jets(cells, x, order)
        one = torch.zeros_like(found[:, :1])
        one[..., 0] = 1.0
        return torch.cat([found, one], 1)

    def windows(self, cells: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The windows at points ``x`` (points, d) of cells, shape (points, C + 1)."""
        found = super().windows(cells, x)
        return torch.cat([found, torch.ones_like(found[:, :1])], 1)

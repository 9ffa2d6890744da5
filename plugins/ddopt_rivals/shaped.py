"""θ as the matrices that it is made of: optimizers of layers need their shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddopt.numerics.space import Layout


class Shaped:
    """A vector θ (n,) whose parts, in the shapes of the layout, are parameters of an optimizer."""

    def __init__(self, theta: torch.Tensor, layout: Layout) -> None:
        self._slices = layout.slices
        pieces = zip(layout.slices, layout.shapes, strict=True)
        self.parts = [
            torch.nn.Parameter(theta[where].detach().clone().view(shape)) for where, shape in pieces
        ]

    @property
    def theta(self) -> torch.Tensor:
        """The parts as one vector (n,), in new memory."""
        return torch.cat([part.detach().reshape(-1) for part in self.parts])

    def give(self, gradient: torch.Tensor) -> None:
        """Set the gradient of every part from that of the whole, shape (n,)."""
        for part, where in zip(self.parts, self._slices, strict=True):
            part.grad = gradient[where].detach().clone().view_as(part)

    def take(self, theta: torch.Tensor) -> None:
        """Go to ``theta``, shape (n,); what an optimizer knows of the parts stays."""
        with torch.no_grad():
            for part, where in zip(self.parts, self._slices, strict=True):
                part.copy_(theta[where].view_as(part))

    def hidden(self) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
        """The matrices between the first and the last one, and everything else."""
        matrices = [i for i, part in enumerate(self.parts) if part.ndim >= 2]
        inner = set(matrices[1:-1])
        within = [part for i, part in enumerate(self.parts) if i in inner]
        return within, [part for i, part in enumerate(self.parts) if i not in inner]

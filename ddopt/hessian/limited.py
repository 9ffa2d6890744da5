"""What limited-memory matrices share: a memory of secant pairs, which is all their state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.hessian.hessian import Hessian
from ddopt.hessian.secant import SecantPairs
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    import torch

    from ddopt.numerics.vectors import Geometry


class LimitedMemory(Hessian):
    """A Hessian approximation from the last m secant pairs; a subclass writes ``model``."""

    class Config(Settings):
        """Size of the memory."""

        memory: int = Field(100, ge=1, le=100_000, description="number of secant pairs m")

    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config, **options)
        self.pairs = SecantPairs(self.config.memory)
        self._upcoming: torch.Tensor | None = None

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate the memory."""
        self.pairs.prepare(like)

    def measure(self, geometry: Geometry) -> None:
        """Take inner products in ``geometry``."""
        self.pairs.geometry = geometry

    def expect(self, gradient: torch.Tensor) -> None:
        """Project ``gradient`` in the pass over the memory that the next pair needs anyway."""
        self._upcoming = gradient

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Store a pair; one that is zero or not finite is refused."""
        upcoming, self._upcoming = self._upcoming, None
        self.pairs.push(s, y, upcoming)

    def reset(self) -> None:
        """Forget all pairs."""
        self.pairs.reset()

    def state_dict(self) -> dict[str, Any]:
        """The pairs and their inner products."""
        return self.pairs.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the pairs."""
        self.pairs.load_state_dict(state)

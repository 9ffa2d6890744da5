"""Self-scaled Broyden: a dense inverse Hessian, for networks of some thousand parameters.

    H⁺ = [H − H y yᵀH / yᵀHy + φ yᵀHy v vᵀ] / τ + s sᵀ / sᵀy,   v = s / sᵀy − H y / yᵀHy

φ = τ = 1 is BFGS, φ = 0 DFP. No pair is ever forgotten, and τ <= 1 enlarges what earlier pairs have
made too small: a limited memory has neither, and crawls late in a run.

Source: Al-Baali's self-scaled Broyden class with the factors of Urbán, Stefanou and Pons, arXiv
2405.04230, who use it with a line search on physics-informed networks; see also arXiv 2501.16371.
Legend: n parameters, H (n, n), B = H⁻¹.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from ddopt.component import Settings
from ddopt.executor.sharded import Sharded
from ddopt.hessian.hessian import Ellipsoidal, Hessian

if TYPE_CHECKING:
    from ddopt.problem import Point, Problem
    from ddopt.vectors import Geometry

PARALLEL = 1e-10  # sᵀy below this fraction of ‖s‖‖y‖ tells nothing about the curvature
SYMMETRISE = 100  # updates between two repairs of what round-off does to the symmetry


class NewtonDirection(Ellipsoidal):
    """The model with B = H⁻¹; its minimiser −Hg needs no factorisation."""

    def __init__(
        self, gradient: torch.Tensor, inverse: torch.Tensor, direction: torch.Tensor
    ) -> None:
        self.gradient, self.direction = gradient, direction
        self._inverse = inverse
        self.slope = float(gradient @ direction)  # −gᵀHg
        self.step, self.fraction = direction, 1.0

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """H⁻¹ v, by a solution with the whole matrix: O(n³)."""
        return torch.linalg.solve(self._inverse, vector)

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """Along −Hg, as far as the ball allows."""
        length = float(torch.linalg.vector_norm(self.direction))
        self.fraction = tau = min(1.0, radius / length) if length > 0.0 else 1.0
        self.step = tau * self.direction
        return self.step, -self.slope * (tau - 0.5 * tau * tau), tau * length


class SSBroyden(Hessian):
    """The update of the Broyden class that is best scaled; n² numbers, O(n²) work for a pair."""

    name = "ssbroyden"

    class Config(Settings):
        """Which member of the family, and how large a matrix may be."""

        update: Literal["ssbroyden", "ssbfgs", "bfgs"] = Field(
            "ssbroyden", description="both factors by formula; φ = 1; φ = τ = 1"
        )
        largest: int = Field(
            10_000, ge=1, description="the most parameters; the matrix has their square"
        )

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._inverse: torch.Tensor | None = None  # H, shape (n, n)
        self._updates = 0
        self._last: NewtonDirection | None = None

    def prepare(self, like: torch.Tensor) -> None:
        """Look whether H may be allocated, which happens at the first point.

        Raises ``ValueError`` for more than ``largest`` parameters.
        """
        n = len(like)
        if n > self.config.largest:
            raise ValueError(
                f"hessian 'ssbroyden' keeps a matrix of {n:,} x {n:,} numbers "
                f"({n * n * like.element_size() / 2**30:,.1f} GiB), and {self.config.largest:,} "
                "parameters are the most it takes; choose hessian 'lsr1', or set its 'largest'"
            )

    def _matrix(self, like: torch.Tensor) -> torch.Tensor:
        """H, the identity at first."""
        if self._inverse is None:
            self.prepare(like)
            self._inverse = torch.eye(len(like), dtype=like.dtype, device=like.device)
        return self._inverse

    def measure(self, geometry: Geometry) -> None:
        """Vectors must be whole.

        Raises ``ValueError`` where they lie in pieces.
        """
        if isinstance(geometry, Sharded):
            raise ValueError(
                "hessian 'ssbroyden' needs whole vectors, and these lie in pieces on processes; "
                "choose hessian 'lsr1' for the global solver"
            )

    def model(self, problem: Problem, point: Point) -> NewtonDirection:
        """The convex model at ``point``; steepest descent where round-off has made it useless."""
        g = point.gradient
        found = NewtonDirection(g, self._matrix(g), -(self._matrix(g) @ g))
        if not found.slope < 0.0 and bool(g.any()):
            self.reset()
            found = NewtonDirection(g, self._matrix(g), -g)
        self._last = found
        return found

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Learn a pair; one of no or negative curvature is left out, H stays positive definite."""
        H = self._matrix(s)
        sy = float(s @ y)
        ss, yy = float(s @ s), float(y @ y)
        if not (math.isfinite(yy) and sy > PARALLEL * math.sqrt(ss * yy)):
            return
        if self._updates == 0:  # Nocedal and Wright, equation 6.20
            H.mul_(sy / yy)
        Hy = H @ y
        yHy = float(y @ Hy)
        phi, tau = self._factors(s, sy, yHy) if self._updates else (1.0, 1.0)
        v = s / sy - Hy / yHy
        U = torch.stack([Hy, v, s], 1)
        weights = U.new_tensor([-1.0 / (tau * yHy), phi * yHy / tau, 1.0 / sy])
        H.addmm_(U * weights, U.T, beta=1.0 / tau)
        self._updates += 1
        if self._updates % SYMMETRISE == 0:
            H.copy_(0.5 * (H + H.T))

    def _factors(self, s: torch.Tensor, sy: float, yHy: float) -> tuple[float, float]:
        """φ and τ. They need sᵀBs, which is known along the last proposal; else those of BFGS."""
        last = self._last
        if self.config.update == "bfgs" or last is None or not torch.equal(s, last.step):
            return 1.0, 1.0
        b = -last.slope * last.fraction**2 / sy  # sᵀBs / sᵀy
        if self.config.update == "ssbfgs":
            return 1.0, min(1.0, 1.0 / b)
        return factors(b, yHy / sy, len(s))

    def reset(self) -> None:
        """Forget everything."""
        self._inverse, self._updates, self._last = None, 0, None

    def state_dict(self) -> dict[str, Any]:
        """H, and how many pairs are in it."""
        return {"inverse": self._inverse, "updates": self._updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        inverse = state["inverse"]
        self._inverse = None if inverse is None else inverse.clone()
        self._updates, self._last = int(state["updates"]), None


def factors(b: float, h: float, n: int) -> tuple[float, float]:
    """φ and τ from b = sᵀBs / sᵀy and h = yᵀHy / sᵀy; b h >= 1 by Cauchy and Schwarz."""
    a = max(b * h - 1.0, math.ulp(1.0))
    c = math.sqrt(a / (a + 1.0))
    least = min(1.0, h * (1.0 - c))
    theta = max((least - 1.0) / a, min(1.0 / least, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    root = abs(sigma) ** (1.0 / (1.0 - n)) if n > 1 else 1.0
    scale = min(1.0, 1.0 / b)
    tau = min(scale * root, sigma) if theta <= 0.0 else scale * min(root, 1.0 / theta)
    return (1.0 - theta) / sigma, tau

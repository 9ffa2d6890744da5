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
    from collections.abc import Callable

    from ddopt.problem import Point, Problem
    from ddopt.vectors import Geometry

PARALLEL = 1e-10  # sᵀy below this fraction of ‖s‖‖y‖ tells nothing about the curvature
LATE = 24  # terms that are kept apart before they are added to the matrix, three for each update
SYMMETRISE = 96  # updates between two repairs of what round-off does to H; a multiple of LATE


class NewtonDirection(Ellipsoidal):
    """The model with B = H⁻¹; its minimiser −Hg needs no factorisation."""

    def __init__(
        self,
        gradient: torch.Tensor,
        inverse: Callable[[], torch.Tensor],
        direction: torch.Tensor,
    ) -> None:
        self.gradient, self.direction = gradient, direction
        self._inverse = inverse
        self.slope = float(gradient @ direction)  # −gᵀHg
        self.step, self.fraction = direction, 1.0

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """H⁻¹ v, by a solution with the whole matrix: O(n³)."""
        return torch.linalg.solve(self._inverse(), vector)

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
        self._dense: torch.Tensor | None = None  # D, shape (n, n)
        self._rows: torch.Tensor  # R, shape (LATE, n); the first of them count, as many as weights
        self._weights: list[float] = []  # w; H = scale D + Rᵀ diag(w) R
        self._scale = 1.0
        self._updates = 0
        self._last: NewtonDirection | None = None
        self._expected: torch.Tensor | None = None  # gradient of the next model
        self._known: tuple[torch.Tensor, torch.Tensor] | None = None  # g and Hg

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

    def _start(self, like: torch.Tensor) -> None:
        """The identity."""
        self.prepare(like)
        self._dense = torch.eye(len(like), dtype=like.dtype, device=like.device)
        self._rows = like.new_empty(LATE, len(like))

    def _product(self, vector: torch.Tensor) -> torch.Tensor:
        """H v."""
        if self._dense is None:
            self._start(vector)
        assert self._dense is not None
        return self._scale * (self._dense @ vector) + self._late(vector)

    def _late(self, vector: torch.Tensor, first: int = 0) -> torch.Tensor:
        """What the terms from ``first`` on, which are not in D yet, add to H v."""
        rows = self._rows[first : len(self._weights)]
        return rows.T @ (rows.new_tensor(self._weights[first:]) * (rows @ vector))

    def inverse(self) -> torch.Tensor:
        """H, shape (n, n), in new memory."""
        rows = self._rows[: len(self._weights)]
        weighted = rows.T * rows.new_tensor(self._weights)
        assert self._dense is not None
        return torch.addmm(self._dense, weighted, rows, beta=self._scale)

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
        if self._known is None or not torch.equal(self._known[0], g):
            self._known = g, self._product(g)
        found = NewtonDirection(g, self.inverse, -self._known[1])
        if not found.slope < 0.0 and bool(g.any()):
            self.reset()
            found = NewtonDirection(g, self.inverse, -self._product(g))
        self._last = found
        return found

    def expect(self, gradient: torch.Tensor) -> None:
        """Hear the next model's gradient: its product follows from the ones that are known."""
        self._expected = gradient

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Learn a pair; one of no or negative curvature is left out, H stays positive definite."""
        expected, self._expected = self._expected, None
        sy = float(s @ y)
        ss, yy = float(s @ s), float(y @ y)
        if not (math.isfinite(yy) and sy > PARALLEL * math.sqrt(ss * yy)):
            return
        Hy = self._product(y)
        known = self._foresee(expected, Hy)
        if self._updates == 0:  # Nocedal and Wright, equation 6.20
            self._scale, Hy, known = sy / yy, (sy / yy) * Hy, None
        yHy = float(y @ Hy)
        phi, tau = self._factors(s, sy, yHy) if self._updates else (1.0, 1.0)
        old = len(self._weights)
        self._rows[old : old + 3] = torch.stack([Hy, s / sy - Hy / yHy, s])
        self._scale /= tau
        self._weights = [w / tau for w in self._weights]
        self._weights += [-1.0 / (tau * yHy), phi * yHy / tau, 1.0 / sy]
        self._updates += 1
        if known is not None:
            g, Hg = known
            known = g, Hg / tau + self._late(g, old)
        self._known = known
        if len(self._weights) == LATE:
            self._dense = self.inverse()
            self._scale, self._weights = 1.0, []
        if self._updates % SYMMETRISE == 0:
            assert self._dense is not None
            self._dense = 0.5 * (self._dense + self._dense.T)
            self._known = None

    def _foresee(
        self, expected: torch.Tensor | None, Hy: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The expected gradient g and Hg = H(g' + y), where g' is that of the last model."""
        if expected is None or self._last is None:
            return None
        stayed = torch.equal(expected, self._last.gradient)
        return expected, -self._last.direction + (0.0 if stayed else Hy)

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
        self._dense, self._scale, self._weights = None, 1.0, []
        self._updates, self._last, self._known = 0, None, None

    def state_dict(self) -> dict[str, Any]:
        """H in its parts, how many pairs are in it, and the product that the next step needs."""
        return {
            "dense": self._dense,
            "rows": None if self._dense is None else self._rows[: len(self._weights)],
            "weights": self._weights,
            "scale": self._scale,
            "updates": self._updates,
            "known": self._known,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self.reset()
        if state["dense"] is not None:
            self._start(state["dense"][0])
            self._dense = state["dense"].clone()
            self._weights = list(state["weights"])
            self._rows[: len(self._weights)] = state["rows"]
        self._scale, self._updates = float(state["scale"]), int(state["updates"])
        self._known = None if state["known"] is None else tuple(state["known"])


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

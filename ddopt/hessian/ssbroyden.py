"""Self-scaled Broyden: a dense inverse Hessian, for networks of some thousand parameters.

    H⁺ = [H − H y yᵀH / yᵀHy + φ yᵀHy v vᵀ] / τ + s sᵀ / sᵀy,   v = s / sᵀy − H y / yᵀHy

φ = τ = 1 is BFGS, φ = 0 DFP. No pair is ever forgotten, and τ <= 1 enlarges what earlier pairs have
made too small: a limited memory has neither, and crawls late in a run.

Source: Al-Baali's self-scaled Broyden class with the factors of Urbán, Stefanou and Pons, arXiv
2405.04230, who use it with a line search on physics-informed networks; see also arXiv 2501.16371.
The updates of a few steps are kept as rows before they are added to the matrix all at once, and the
product with the next gradient follows from those that are known: a step reads H once.

Legend: n parameters, H (n, n) in float64 whatever the parameters are, B = H⁻¹.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from ddopt.hessian import panels
from ddopt.hessian.hessian import Ellipsoidal, Hessian
from ddopt.hessian.none import Linear
from ddopt.numerics.reading import Later, Number
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.evaluation.problem import Point, Problem
    from ddopt.numerics.vectors import Geometry

PARALLEL = 1e-10  # sᵀy below this fraction of ‖s‖‖y‖ tells nothing about the curvature
LATE = 24  # terms that are kept apart before they are added to D, three for each update
SYMMETRISE = 96  # updates between two repairs of what round-off does to D; no term is late then


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
        self._slope = Later(gradient.double() @ direction)
        self._length = Later(torch.linalg.vector_norm(direction))
        self.step, self.fraction = direction, 1.0

    @property
    def slope(self) -> float:
        """−gᵀHg; read with the length of −Hg."""
        return self._slope()

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """H⁻¹ v, by a solution with the whole matrix: O(n³)."""
        return torch.linalg.solve(self._inverse(), vector.double()).to(vector.dtype)

    def minimise(self, radius: float) -> tuple[torch.Tensor, float, float]:
        """Along −Hg, as far as the ball allows."""
        length = self._length()
        self.fraction = tau = min(1.0, radius / length) if length > 0.0 else 1.0
        self.step = (tau * self.direction).to(self.gradient.dtype)
        return self.step, -self.slope * (tau - 0.5 * tau * tau), tau * length


@dataclass
class _Tensors:
    """What is allocated once n is known."""

    dense: torch.Tensor  # D, shape (n, n); see panels.py
    rows: torch.Tensor  # R, shape (LATE, n); as many of them count as there are weights
    gradient: torch.Tensor  # g, shape (n,)
    product: torch.Tensor  # Hg, shape (n,)


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
        self._tensors: _Tensors | None = None
        self._weights: list[float] = []  # w; H = scale D + Rᵀ diag(w) R
        self._scale = 1.0
        self._updates = 0
        self._known = False  # whether the product of H with a gradient is
        self._last: NewtonDirection | None = None
        self._expected: torch.Tensor | None = None  # gradient of the next model
        self._seen: torch.Tensor | None = None  # the vector that ``gradient`` is a copy of

    def prepare(self, like: torch.Tensor) -> None:
        """Allocate H, and make it the identity.

        Raises ``ValueError`` for more than ``largest`` parameters.
        """
        n = len(like)
        if n > self.config.largest:
            raise ValueError(
                f"hessian 'ssbroyden' keeps a matrix of {n:,} x {n:,} numbers "
                f"({8 * n * n / 2**30:,.1f} GiB), and {self.config.largest:,} "
                "parameters are the most it takes; choose hessian 'lsr1', or set its 'largest'"
            )
        double = like.new_empty(0, dtype=torch.float64)
        self._tensors = _Tensors(
            double.new_zeros(n, n).fill_diagonal_(1.0),
            double.new_zeros(LATE, n),
            torch.zeros_like(like),
            double.new_zeros(n),
        )

    def _at(self, like: torch.Tensor) -> _Tensors:
        """The tensors of H, for vectors like ``like``."""
        if self._tensors is None:
            self.prepare(like)
        assert self._tensors is not None
        return self._tensors

    def _product(self, vector: torch.Tensor) -> torch.Tensor:
        """H v."""
        return self._scale * panels.product(self._at(vector).dense, vector) + self._late(vector)

    def _late(self, vector: torch.Tensor, first: int = 0) -> torch.Tensor:
        """What the terms from ``first`` on, which are not in D yet, add to H v."""
        rows = self._at(vector).rows[first : len(self._weights)]
        return rows.T @ (rows.new_tensor(self._weights[first:]) * (rows @ vector))

    def _gather(self, dense: torch.Tensor) -> torch.Tensor:
        """H, in place of ``dense``, which is D or a copy of it."""
        assert self._tensors is not None
        rows = self._tensors.rows[: len(self._weights)]
        weighted = rows.T * rows.new_tensor(self._weights)
        return panels.add(dense, weighted, rows, self._scale)

    def inverse(self) -> torch.Tensor:
        """H, shape (n, n), in new memory."""
        assert self._tensors is not None, "no vector has been seen"
        return panels.whole(self._gather(self._tensors.dense.clone()))

    def measure(self, geometry: Geometry) -> None:
        """Vectors must be whole.

        Raises ``ValueError`` where they lie in pieces.
        """
        if geometry.sharded:
            raise ValueError(
                "hessian 'ssbroyden' needs whole vectors, and these lie in pieces on processes; "
                "choose hessian 'lsr1' for the global solver"
            )

    def model(self, problem: Problem, point: Point) -> Ellipsoidal:
        """The convex model at ``point``.

        Linear before there is a pair, and where round-off has made the matrix useless: the identity
        would mean another step in other units of f or θ.
        """
        g = point.gradient
        of = self._at(g)
        if not self._updates:
            self._last = None
            return Linear(g)
        if not (self._known and g is self._seen):
            self._know(g, self._at_hand(g))
        self._last = NewtonDirection(g, self.inverse, -of.product)
        if not self._last.slope < 0.0 and bool(g.any()):
            self.reset()
            return Linear(g)
        return self._last

    def _at_hand(self, g: torch.Tensor) -> torch.Tensor:
        """Hg: what is kept where g has the bits of the kept gradient, and a new product elsewhere.

        The device chooses, so that the host need not wait for the comparison.
        """
        of, product = self._at(g), self._product(g.double())
        if not self._known:
            return product
        return torch.where((of.gradient == g).all(), of.product, product)

    def _know(self, gradient: torch.Tensor, product: torch.Tensor) -> None:
        """Keep Hg."""
        of, self._known, self._seen = self._at(gradient), True, gradient
        of.gradient.copy_(gradient)
        of.product.copy_(product)

    def expect(self, gradient: torch.Tensor) -> None:
        """Hear the next model's gradient: its product follows from the ones that are known."""
        self._expected = gradient

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """Learn a pair; one of no or negative curvature is left out, H stays positive definite."""
        expected, self._expected = self._expected, None
        proposed = _same(s, None if self._last is None else self._last.step)
        stays = _same(expected, self._at(s).gradient, self._seen)
        s, y = s.double(), y.double()
        sums, first = Later(torch.stack([s @ y, s @ s, y @ y]), list), self._updates == 0
        if not first:  # before they are read: a pair is seldom left out
            Hy = self._product(y)
            along = Later(y @ Hy)
        sy, ss, yy = sums()
        if not (0.0 < yy < math.inf and sy > PARALLEL * math.sqrt(ss * yy)):
            if expected is not None and not stays():
                self._known = False  # of the last gradient, and there is another one now
            return
        if first:
            self._scale, self._known = sy / yy, False  # Nocedal and Wright, equation 6.20
            Hy = self._product(y)
            along = Later(y @ Hy)
        yHy = along()
        phi, tau = self._factors(s, sy, yHy) if not first and proposed() else (1.0, 1.0)
        late = len(self._weights)
        self._at(s).rows[late : late + 3] = torch.stack([Hy, s / sy - Hy / yHy, s])
        self._scale /= tau
        self._weights = [w / tau for w in self._weights]
        self._weights += [-1.0 / (tau * yHy), phi * yHy / tau, 1.0 / sy]
        self._updates += 1
        self._foresee(expected, stays, Hy, tau, late)
        self._merge()

    def _foresee(
        self,
        expected: torch.Tensor | None,
        stays: Number,
        Hy: torch.Tensor,
        tau: float,
        late: int,
    ) -> None:
        """Know Hg for the expected g = g' + y, or g' where it ``stays``: Hg' is known already.

        Only in float64: what rounds off in g' + y is not to be carried from step to step otherwise.
        """
        known, self._known = self._known, False
        if not known or expected is None or expected.dtype != torch.float64:
            return
        of = self._at(expected)
        before = of.product if stays() else of.product + Hy
        self._know(expected, before / tau + self._late(expected, late))

    def _merge(self) -> None:
        """Add the late terms to D when there are enough of them."""
        assert self._tensors is not None
        if len(self._weights) == LATE:
            self._gather(self._tensors.dense)
            self._scale, self._weights = 1.0, []
        if self._updates % SYMMETRISE == 0:
            self._known = False
            panels.symmetrise(self._tensors.dense)

    def _factors(self, s: torch.Tensor, sy: float, yHy: float) -> tuple[float, float]:
        """φ and τ for the step that was proposed last, as sᵀBs is known along it alone."""
        assert self._last is not None
        b = -self._last.slope * self._last.fraction**2 / sy  # sᵀBs / sᵀy
        if self.config.update == "ssbfgs":
            return 1.0, min(1.0, 1.0 / b)
        if self.config.update == "bfgs":
            return 1.0, 1.0
        return factors(b, yHy / sy, len(s))

    def reset(self) -> None:
        """Forget everything."""
        if self._tensors is not None:
            self._tensors.dense.zero_().fill_diagonal_(1.0)
        self._scale, self._weights, self._updates = 1.0, [], 0
        self._known, self._last, self._seen = False, None, None

    def state_dict(self) -> dict[str, Any]:
        """H in its parts, and the product that the next step needs. The tensors are live ones."""
        state = {
            "weights": self._weights,
            "scale": self._scale,
            "updates": self._updates,
            "known": self._known,
        }
        return state if self._tensors is None else {**state, **vars(self._tensors)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._weights, self._scale = list(state["weights"]), float(state["scale"])
        self._updates, self._known = int(state["updates"]), bool(state["known"])
        self._last, self._tensors, self._seen = None, None, None
        if "dense" in state:
            self._tensors = _Tensors(*(state[each.name].clone() for each in fields(_Tensors)))


def _same(
    a: torch.Tensor | None, b: torch.Tensor | None, original: torch.Tensor | None = None
) -> Number:
    """Whether two vectors (n,) are equal, to be read with other numbers; 0 where one is missing.

    ``original`` is what ``b`` is a copy of, where that is known: nothing is compared then.
    """
    if a is None or b is None:
        return lambda: 0.0
    if a is b or a is original:
        return lambda: 1.0
    return Later((a == b).all())


def factors(b: float, h: float, n: int) -> tuple[float, float]:
    """φ and τ from b = sᵀBs / sᵀy and h = yᵀHy / sᵀy; b h >= 1 by Cauchy and Schwarz."""
    a = max(b * h - 1.0, math.ulp(1.0))
    c = math.sqrt(a / (a + 1.0))
    least = min(1.0, h * (1.0 - c or 0.5 / a))  # 1 - c -> 1/(2a), and c rounds to 1 beyond 1e16
    theta = max((least - 1.0) / a, min(1.0 / least, (1.0 - b) / b))
    sigma = 1.0 + a * theta
    if not sigma > 0.0:  # theta is at its lower bound, where sigma = least but for round-off
        sigma = least
    root = abs(sigma) ** (1.0 / (1.0 - n)) if n > 1 else 1.0
    scale = min(1.0, 1.0 / b)
    tau = min(scale * root, sigma) if theta <= 0.0 else scale * min(root, 1.0 / theta)
    return (1.0 - theta) / sigma, tau

"""The damped normal equations by products with J alone, for Jacobians that fit in no memory.

CGLS, the method of conjugate gradients for (JᵀJ + σI) x = Jᵀe (Hestenes and Stiefel 1952; Paige and
Saunders 1982), stopped early: an inexact Levenberg-Marquardt step. Its preconditioner is free. The
directions of a solve and their images are secant pairs of JᵀJ + σI, and the L-BFGS matrix made of
them is a preconditioner of the next solve, whose matrix is near (Morales and Nocedal, SIAM J.
Optim. 10 (2000) 1079). A correction of the step is a solve with the same matrix. Step and
corrections share an allowance, so that the price of an iteration is bounded: 60 evaluations.

Legend: m residuals, n parameters, J (m, n), σ the damping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from ddopt.evaluation.jacobian import Jacobian
from ddopt.numerics.vectors import dot

KEPT = 20  # secant pairs of the preconditioner
MOST = 48  # evaluations that the products of a step and its corrections together may cost
STEP = 36  # of them, that the step may take: a correction has some left
TURN = 2  # products, in a step of conjugate gradients
ENOUGH = 0.05  # of the gradient's norm: what a solve may leave


class RecycledPairs:
    """The last pairs (s, (JᵀJ + σI) s), and the inverse that they make."""

    def __init__(self) -> None:
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._pairs)

    def replace(self, pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Those of a new solve come after the others, of which the oldest go."""
        self._pairs = [*self._pairs, *pairs][-KEPT:]

    def apply(self, vector: torch.Tensor) -> torch.Tensor:
        """The L-BFGS inverse times a vector (n,) (Nocedal and Wright, Algorithm 7.4)."""
        if not self._pairs:
            return vector
        q, weights = vector.clone(), []
        for s, y in reversed(self._pairs):
            weights.append(dot(s, q) / dot(s, y))
            q -= weights[-1] * y
        s, y = self._pairs[-1]
        q *= dot(s, y) / dot(y, y)
        for (s, y), weight in zip(self._pairs, reversed(weights), strict=True):
            q += (weight - dot(y, q) / dot(s, y)) * s
        return q

    def state_dict(self) -> dict[str, Any]:
        """The pairs, two vectors each."""
        return {str(i): {"s": s, "y": y} for i, (s, y) in enumerate(self._pairs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what ``state_dict`` gave."""
        self._pairs = [(state[str(i)]["s"], state[str(i)]["y"]) for i in range(len(state))]


class IterativeEquations:
    """JᵀJ at one θ, known by its products."""

    floor = 0.0  # a product squares nothing, so any damping is as good as its float64

    def __init__(self, jacobian: Jacobian, residuals: torch.Tensor, pairs: RecycledPairs) -> None:
        self.jacobian, self._pairs = jacobian, pairs
        slope = jacobian.pullback(residuals)
        image, square = jacobian.product(slope), dot(slope, slope)
        # The curvature along the gradient: what a damping is measured in.
        self.scale = dot(image, image) / square if square != 0.0 else 1.0

    def damped(self, damping: float) -> Iterated:
        """JᵀJ + σI. Raises ``ArithmeticError`` where J is not finite."""
        if not self.scale < float("inf"):
            raise ArithmeticError(f"the curvature along the gradient is {self.scale}")
        return Iterated(self.jacobian, damping, self._pairs)


@dataclass
class Iterated:
    """JᵀJ + σI, solved with approximately: the first solve gives a step, others correct it."""

    jacobian: Jacobian
    damping: float  # σ
    pairs: RecycledPairs
    left: int | None = None  # products that corrections may take; None: no step has been made

    def fitted(self, error: torch.Tensor) -> torch.Tensor:
        """(JᵀJ + σI)⁻¹ Jᵀe, from (m,) to (n,); zero for a correction when no product is left."""
        if self.left is not None:
            if self.left <= TURN:
                return torch.zeros(self.jacobian.shape[1], dtype=error.dtype, device=error.device)
            self.left -= 1
        return self._solved(self.jacobian.pullback(error))

    def inverse(self, vector: torch.Tensor) -> torch.Tensor:
        """(JᵀJ + σI)⁻¹ v, from (n,) to (n,)."""
        return Iterated(self.jacobian, self.damping, self.pairs)._solved(vector)

    def _solved(self, right: torch.Tensor) -> torch.Tensor:
        left, most = self.left, self.left
        if left is None or most is None:
            price = 1 + self.jacobian.graph_anew
            left, most = MOST // price, STEP // price
        x, found = torch.zeros_like(right), []
        for step, image in self._directions(right, most // TURN):
            x += step
            found.append((step, image))
        self.left = left - TURN * len(found)
        self.pairs.replace(found)
        return x

    def _directions(
        self, right: torch.Tensor, most: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The steps of conjugate gradients, ``most`` of them, and their images under JᵀJ + σI."""
        gradient, enough = right, ENOUGH**2 * dot(right, right)
        z = self.pairs.apply(gradient)
        direction, gamma = z, dot(gradient, z)
        for _ in range(most):
            image = self.jacobian.pullback(self.jacobian.product(direction))
            image = image + self.damping * direction
            curvature = dot(direction, image)
            if not (curvature > 0.0 and gamma > 0.0):
                return  # nothing is left, or it is not finite
            alpha = gamma / curvature
            yield alpha * direction, alpha * image
            gradient = gradient - alpha * image
            if not dot(gradient, gradient) > enough:
                return
            z = self.pairs.apply(gradient)
            gamma, before = dot(gradient, z), gamma
            direction = z + gamma / before * direction

"""Energy natural gradients in the space of the samples: by Woodbury's identity, and SPRING.

Legend: r residuals (m,), J = ∂r/∂θ, shape (m, n), f = ‖r‖², λ the damping, μ the momentum, φ the
direction (n,), η a step length.

    ENGD-W:  φ = Jᵀ(JJᵀ + λI)⁻¹ r                                  = (JᵀJ + λI)⁻¹ Jᵀr
    SPRING:  φ⁺ = μφ + Jᵀ(JJᵀ + λI)⁻¹ (r − μJφ)                    = argmin ‖Jφ⁺ − r‖² + λ‖φ⁺ − μφ‖²

and θ⁺ = θ − ηφ. For squares of residuals the matrix of the energy natural gradient is JᵀJ.

Sources: Guzmán-Cordero, Dangel, Goldshlager and Zeinhofer, arXiv 2505.12149, for both on
physics-informed networks; Goldshlager, Abrahamsen and Lin, arXiv 2401.10190, for SPRING. The line
search over powers of one half is that of Müller and Zeinhofer, arXiv 2302.13163. The authors tune λ
and μ by random search for every problem; a study shows each value as a row of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.setup.component import Settings

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


def direction(
    r: torch.Tensor, jacobian: torch.Tensor, damping: float, before: torch.Tensor | None = None
) -> torch.Tensor | None:
    """φ⁺ (n,) from r (m,), J (m, n), λ and μφ (n,); without μφ that of ENGD-W.

    None where JJᵀ + λI has no Cholesky factor.
    """
    kernel = jacobian @ jacobian.mT
    kernel.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(kernel)
    if failed:
        return None
    wanted = r if before is None else r - jacobian @ before
    found = jacobian.mT @ torch.cholesky_solve(wanted[:, None], factor)[:, 0]
    return found if before is None else found + before


class ENGDW(Baseline):
    """Energy natural gradient descent with Woodbury's identity and a line search."""

    name = "engd_w"
    look: ClassVar[int | None] = None

    class Config(Settings):
        """Damping and line search."""

        damping: float = Field(1e-8, gt=0.0, description="λ, added to the kernel JJᵀ")
        lengths: int = Field(
            31, ge=1, description="step lengths 1, 1/2, 1/4, ... that are tried in every step"
        )

    def minimise(self, f: Objective) -> str:
        """Until the budget is spent, or no length along the natural gradient gains anything."""
        theta, momentum = f.start.clone(), getattr(self.config, "momentum", 0.0)
        r = f.residuals(theta)
        value, before, steps = float(r @ r), None, 0
        f.iterate(theta, value)
        while True:
            scaled = None if before is None or not momentum else momentum * before
            phi = direction(r, f.jacobian(theta), self.config.damping, scaled)
            if phi is None:
                return "breakdown"
            steps += 1
            unbiased = phi / math.sqrt(1.0 - momentum ** (2 * steps))
            trial = self._searched(f, theta, unbiased)
            if not trial[0] < value:
                if before is None:
                    return "line_search"
                before, steps = None, 0  # once more, along the natural gradient itself
                continue
            value, theta, r = trial
            before = phi
            if f.iterate(theta, value):  # f is another function now
                r = f.residuals(theta)
                value = float(r @ r)

    def _searched(
        self, f: Objective, theta: torch.Tensor, phi: torch.Tensor
    ) -> tuple[float, torch.Tensor, torch.Tensor]:
        """The best of the lengths: f, θ and r there."""
        best = (math.inf, theta, theta)
        for i in range(self.config.lengths):
            trial = theta - 0.5**i * phi
            r = f.residuals(trial)
            value = float(r @ r)
            if value < best[0]:
                best = (value, trial, r)
        return best


class SPRING(ENGDW):
    """The same with a momentum that the residuals cannot see."""

    name = "spring"

    class Config(ENGDW.Config):
        """Momentum."""

        momentum: float = Field(0.9, ge=0.0, lt=1.0, description="μ, what is kept of the last φ")

"""The loss of a physics-informed network as a problem: values, gradients, residuals, Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from ddopt.evaluation.autograd import AutogradProblem, Named
from ddopt.evaluation.problem import Samples
from ddopt.numerics.space import Layout
from ddopt_pinn.collocation import Collocation, network_at
from ddopt_pinn.differentiation import Block, Differentiation
from ddopt_pinn.stages import Ends

UNKNOWN = "unknowns."  # prefix of the names of coefficients that are sought


class PDEProblem(AutogradProblem):
    """f(θ) = Σ_t (w_t/m_t) Σ_i ‖r_{t,i}(θ)‖² of a network at collocation points."""

    def __init__(
        self,
        layout: Layout,
        net: torch.nn.Module,
        equation: Callable[..., Any],
        collocation: Collocation,
    ) -> None:
        self.net, self._equation, self._collocation = net, equation, collocation
        self.differentiation = Differentiation(net)  # shared with the parts of this problem
        self.dimensions = collocation.points(0).shape[1]
        samples = Samples.all(*collocation.counts)
        super().__init__(layout, self._term_sums, samples)

    def moved(self, interior: np.ndarray) -> PDEProblem:
        """The same problem with other interior points, shape (m_0, dimensions)."""
        collocation = self._collocation.moved(interior)
        other = PDEProblem(self.layout, self.net, self._equation, collocation)
        other.differentiation = self.differentiation
        return other

    def equations_at(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The residuals of the equations at any points, shape (points, equations), detached."""
        return self._collocation.equations(*self._parts(self.named(theta.detach())), x)

    def ends(self, unknowns: list[str]) -> Ends:
        """What the first and the last stage of a pipeline do; unknown coefficients by name."""
        return Ends(self._collocation, self.net, self._equation, unknowns)

    def _parts(self, named: Named) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The network and the equation, both with the given parameters in them."""
        unknown = {n.removeprefix(UNKNOWN): p for n, p in named.items() if n.startswith(UNKNOWN)}
        weights = {n: p for n, p in named.items() if not n.startswith(UNKNOWN)}
        forward = network_at(self.net, weights)
        return forward, lambda x, u: self._equation(x, u, **unknown)

    def _term_sums(self, named: Named, samples: Samples) -> tuple[torch.Tensor, ...]:
        return self._collocation.sums(*self._parts(named), samples)

    def _scales(self) -> list[float]:
        """√(w_t/m_t), so that f = ‖r‖²."""
        pairs = zip(self._collocation.weights, self._counts, strict=True)
        return [(weight / max(count, 1)) ** 0.5 for weight, count in pairs]

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,): term after term, point after point, where f = ‖r‖²."""
        assert self.samples is not None
        with torch.enable_grad():
            found = self._collocation.residuals(*self._parts(self.named(theta)), self.samples)
        scaled = [scale * r.reshape(-1) for scale, r in zip(self._scales(), found, strict=True)]
        return torch.cat(scaled)

    @property
    def jacobian_price(self) -> float | None:  # type: ignore[override]
        """That of the way in which it is made."""
        return self.differentiation.price

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), in the way that suits the network and the equation best."""
        return self.differentiation.jacobian(self, theta, dtype or theta.dtype)

    def weights(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The network's parameters by name, detached."""
        named = self.named(theta.detach())
        return {name: tensor for name, tensor in named.items() if not name.startswith(UNKNOWN)}

    def columns(self) -> dict[str, slice]:
        """Where in θ the network's parameters are that move."""
        return {n: p for n, p in self._ranges() if not n.startswith(UNKNOWN)}

    def others(self, theta: torch.Tensor) -> dict[str, tuple[slice, torch.Tensor]]:
        """Where in θ the unknown coefficients are, and their values."""
        named = self.named(theta.detach())
        return {n: (p, named[n]) for n, p in self._ranges() if n.startswith(UNKNOWN)}

    def _ranges(self) -> Iterable[tuple[str, slice]]:
        return zip(self.layout.names, self.layout.slices, strict=True)

    def blocks(self, forward: Callable[[torch.Tensor], torch.Tensor], others: Named) -> list[Block]:
        """The residuals of any network and unknown coefficients at the samples."""
        assert self.samples is not None
        held = {n: p for n, p in self._held_unknowns().items() if n not in others}
        given = {n.removeprefix(UNKNOWN): c for n, c in {**held, **others}.items()}
        found = self._collocation.residuals(
            forward, lambda x, u: self._equation(x, u, **given), self.samples
        )
        scales = self._scales()
        return [Block(t, r, scales[t]) for t, r in enumerate(found)]

    def _held_unknowns(self) -> dict[str, torch.Tensor]:
        """The unknown coefficients that do not move, in a local problem that moves others."""
        if self._held is None:
            return {}
        layout = self._full_layout
        pairs = zip(layout.names, layout.slices, strict=True)
        return {n: self._held.theta[p].view(()) for n, p in pairs if n.startswith(UNKNOWN)}

    def places(self, term: int) -> torch.Tensor:
        """Where the points of a condition's samples are in its forward pass, (samples, 1 or 2)."""
        assert self.samples is not None
        return self._collocation.places(term, self.samples)

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the points of a term lie in space (and time), shape (points, dimensions)."""
        return self._collocation.points(term)

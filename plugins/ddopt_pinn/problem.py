"""The loss of a physics-informed network as a problem: values, gradients, residuals, Jacobians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ddopt.autograd import AutogradProblem, Named
from ddopt.problem import Samples
from ddopt.space import Layout
from ddopt_pinn.collocation import Collocation, network_at
from ddopt_pinn.jacobian import Copies, NotPerPointError, per_residual, rows_of
from ddopt_pinn.stages import Ends

UNKNOWN = "unknowns."  # prefix of the names of coefficients that are sought


class PDEProblem(AutogradProblem):
    """f(θ) = Σ_t (w_t/m_t) Σ_i ‖r_{t,i}(θ)‖² of a network at collocation points."""

    pointwise = True

    def __init__(
        self,
        layout: Layout,
        net: torch.nn.Module,
        equation: Callable[..., Any],
        collocation: Collocation,
    ) -> None:
        self._net, self._equation, self._collocation = net, equation, collocation
        samples = Samples.all(*collocation.counts)
        super().__init__(layout, self._term_sums, samples)

    def moved(self, interior: np.ndarray) -> PDEProblem:
        """The same problem with other interior points, shape (m_0, dimensions)."""
        collocation = self._collocation.moved(interior)
        return PDEProblem(self.layout, self._net, self._equation, collocation)

    def equations_at(self, theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The residuals of the equations at any points, shape (points, equations), detached."""
        return self._collocation.equations(*self._parts(self.named(theta.detach())), x)

    def ends(self, unknowns: list[str]) -> Ends:
        """What the first and the last stage of a pipeline do; unknown coefficients by name."""
        return Ends(self._collocation, self._net, self._equation, unknowns)

    def _parts(self, named: Named) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """The network and the equation, both with the given parameters in them."""
        unknown = {n.removeprefix(UNKNOWN): p for n, p in named.items() if n.startswith(UNKNOWN)}
        weights = {n: p for n, p in named.items() if not n.startswith(UNKNOWN)}
        forward = network_at(self._net, weights)
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

    def jacobian(self, theta: torch.Tensor) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), by one backward pass where every point can have its own weights."""
        try:
            return self._per_point(theta)
        except NotPerPointError:
            self.pointwise = False
            return per_residual(self.residuals, theta)

    def _per_point(self, theta: torch.Tensor) -> torch.Tensor:
        assert self.samples is not None
        named = {name: tensor.detach() for name, tensor in self.named(theta).items()}
        moving = self.layout.names
        net = {name: tensor for name, tensor in named.items() if not name.startswith(UNKNOWN)}
        copies = Copies(self._net, net, set(moving))
        unknown: dict[str, torch.Tensor] = {}

        def equation(x: torch.Tensor, u: torch.Tensor) -> Any:
            for name in named.keys() - net.keys():
                unknown[name] = named[name].expand(len(x), 1).clone().requires_grad_()
            return self._equation(x, u, **{n.removeprefix(UNKNOWN): c for n, c in unknown.items()})

        with torch.enable_grad():
            found = self._collocation.residuals(copies.forward, equation, self.samples)
        blocks = []
        for term, r in enumerate(found):
            if len(r) == 0:
                continue
            leaves = copies.passes[0 if term == 0 else -1] | (unknown if term == 0 else {})
            absent = [name for name in moving if name not in leaves]  # not in a condition
            rows = rows_of(r.sum(0), [leaves[name] for name in moving if name in leaves])
            if absent:
                rows = self._with_zeros(rows, absent)
            if term:
                rows = rows[self._collocation.places(term, self.samples)].sum(1)
            blocks.append(self._scales()[term] * rows.flatten(0, 1))
        return torch.cat(blocks) if blocks else theta.new_zeros(0, len(theta))

    def _with_zeros(self, rows: torch.Tensor, absent: list[str]) -> torch.Tensor:
        """Columns of zeros for the unknown coefficients, which come last in the layout."""
        width = sum(self.layout.sizes[self.layout.names.index(name)] for name in absent)
        return torch.nn.functional.pad(rows, (0, width))

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the points of a term lie in space (and time), shape (points, dimensions)."""
        return self._collocation.points(term)

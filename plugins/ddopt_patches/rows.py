"""The residuals of one equation or condition at points of cells.

In a cell u is a sum over the C patches that touch it, u = Σ_e v_e Σ_k c_ek φ_ek, so by Leibniz

    ∂^α u = Σ_e Σ_γ C(α, γ) ∂^(α−γ) v_e · Σ_k c_ek ∂^γ φ_ek,
    ∂^γ φ_ek = σ^(|γ|)(z_ek) Π (W_ek/h_e)^γ.

Only σ is stored, one number for a point and a feature that reaches it; its derivatives are
polynomials of it, formed for a few cells at a time. The Jacobian
of the residual F(x, jet u) has the entries Σ_γ M_γ σ^(|γ|) Π(W/h)^γ with M_γ = Σ_α ∂F/∂a_α C(α, γ)
∂^(α−γ) v: a small matrix product and order + 1 passes, for any equation.

Legend: G cells of P points, C corners, K features, Q numbers in a jet, E equations.
"""

from __future__ import annotations

import math
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ddopt_patches.block import Block
from ddopt_patches.features import powers
from ddopt_patches.quadrature import Points
from ddopt_patches.windows import smoothness
from ddopt_pinn.activation import derivatives_of_tanh
from ddopt_pinn.derivatives import binomial, minus, upto

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ddopt_patches.equation import Equation
    from ddopt_patches.network import Patches

NUMBERS = 1 << 18  # of one chunk, 2 MB
KEPT = 1 << 24  # features of a piece that are not kept, 128 MB


class Rows:
    """An equation at points; the features are computed once, when they are first needed.

    A process that needs the rows of some cells alone (``among``) never makes those of the others.

    Args:
        patches: the local networks and their grid.
        points: where.
        equation: what is to vanish there.
        weight: factor of every residual, beside the roots of the quadrature weights.
    """

    everywhere = False  # a row touches the patches of its cell alone

    def __init__(
        self, patches: Patches, points: Points, equation: Equation, weight: float = 1.0
    ) -> None:
        grid = patches.grid
        self.points, self.equation, self.weight = points, equation, weight
        self.features, self.outputs = patches.features, patches.outputs
        self._patches = patches
        self.order = equation.order
        if self.order > smoothness(grid.window) + 1:
            raise ValueError(
                f"{equation.label} has derivatives of order {self.order}, and the window "
                f"'{grid.window}' has {smoothness(grid.window)} continuous ones: its residual "
                f"would jump between cells; choose 'c{self.order - 1}'"
            )
        self.touched = grid.touching(points.cells)  # (G, C)
        self.roots = weight * points.roots
        self._leibniz = _leibniz(grid.dimensions, self.order)
        self._indices = upto(grid.dimensions, self.order)
        self._orders: dict[int, list[int]] = {}  # the places in a jet, by order
        for q, gamma in enumerate(self._indices):
            self._orders.setdefault(sum(gamma), []).append(q)

    @cached_property
    def _windows(self) -> torch.Tensor:
        """The jets of the windows, (G, C, P, Q)."""
        return self._patches.grid.window_jets(self.points.cells, self.points.x, self.order)

    @cached_property
    def _sigma(self) -> torch.Tensor:
        """The features, (G, C, P, K)."""
        middles, halves = self._patches.grid.frames(self.points.cells)
        t = (self.points.x[:, None] - middles[:, :, None]) / halves[:, :, None]  # (G, C, P, d)
        z = t @ self._patches.W[self.touched].mT + self._patches.b[self.touched][:, :, None]
        return z.tanh_()

    @cached_property
    def _powers(self) -> torch.Tensor:
        """What the chain rule multiplies derivatives of σ by, (G, C, Γ, K)."""
        _, halves = self._patches.grid.frames(self.points.cells)
        return powers(self._patches.W[self.touched] / halves[:, :, None], self.order)

    def pieces(self) -> Iterator[Rows]:
        """The same rows, some cells at a time where their features are not at hand and many.

        For what needs them once, so that they need not be kept.
        """
        G, P = self.points.roots.shape
        size = max(1, KEPT // max(1, P * self.touched.shape[1] * self.features))
        if size >= G or "_sigma" in vars(self):
            yield self
            return
        for some in torch.arange(G).split(size):
            yield self.among(some)

    @property
    def count(self) -> int:
        """The number of rows that count."""
        return self.points.count * self.equation.equations

    def jets(self, weights: torch.Tensor) -> torch.Tensor:
        """The jet of u at the points, (G, P, outputs, Q), for output weights (S, outputs, K)."""
        result = weights.new_zeros(*self.points.roots.shape, self.outputs, len(self._indices))
        for cells in self._chunks():
            c = weights[self.touched[cells]]  # (g, C, outputs, K)
            sigma = derivatives_of_tanh(self._sigma[cells], self.order)
            for order, places in self._orders.items():
                directions = self._powers[cells, :, places]  # (g, C, Γ_k, K)
                scaled = (c[:, :, None] * directions[:, :, :, None]).flatten(2, 3)
                local = sigma[order] @ scaled.mT  # (g, C, P, Γ_k outputs): of the local networks
                for place, q in enumerate(places):
                    own = local[..., place * self.outputs : (place + 1) * self.outputs]
                    for alpha, delta, times in self._leibniz[q]:
                        window = self._windows[cells, ..., delta, None]
                        result[cells, ..., alpha] += times * (window * own).sum(1)
        return result

    def adjoint(self, cotangents: torch.Tensor) -> torch.Tensor:
        """The transpose of ``jets``: from (G, P, outputs, Q) to output weights (S, outputs, K)."""
        found = cotangents.new_zeros(self._patches.grid.patches, self.outputs, self.features)
        for cells in self._chunks():
            sigma = derivatives_of_tanh(self._sigma[cells], self.order)
            windows, own = self._windows[cells], cotangents[cells]
            total = found.new_zeros(*windows.shape[:2], *found.shape[1:])  # (g, C, outputs, K)
            for q, gamma in enumerate(self._indices):
                local = own.new_zeros(*windows.shape[:3], self.outputs)
                for alpha, delta, times in self._leibniz[q]:
                    local += times * windows[..., delta, None] * own[:, None, ..., alpha]
                total += (local.mT @ sigma[sum(gamma)]) * self._powers[cells, :, q, None]
            found.index_add_(0, self.touched[cells].flatten(), total.flatten(0, 1))
        return found

    def _chunks(self) -> list[slice]:
        """A few cells at a time, so that what is formed for them stays in the cache."""
        G, *rest = self._sigma.shape
        size = max(1, NUMBERS // max(1, math.prod(rest)))
        return [slice(start, start + size) for start in range(0, G, size)]

    def gradient(self, weights: torch.Tensor) -> tuple[float, torch.Tensor]:
        """‖r‖² and its gradient (S, outputs, K), at the price of two values."""
        r, slopes = self._linearise(weights, True)
        assert slopes is not None
        shaped = r.view(*self.points.roots.shape, -1, 1, 1)
        return float((r * r).sum()), self.adjoint((2.0 * slopes * shaped).sum(2))

    def among(self, kept: torch.Tensor) -> Rows:
        """The rows of the cells for which ``kept`` (G,) holds, or of these places."""
        other = copy(self)
        points = self.points
        other.points = Points(points.cells[kept], points.x[kept], points.roots[kept])
        for name in ("touched", "roots", "_windows", "_powers", "_sigma"):
            if name in vars(self):
                setattr(other, name, getattr(self, name)[kept])
        return other

    def scaled(self, weight: float) -> Rows:
        """The same rows with another factor of all residuals."""
        other = copy(self)
        other.weight, other.roots = weight, weight * self.points.roots
        return other

    def weighted(self, factors: torch.Tensor) -> Rows:
        """The same rows, each point's times a factor (G, P); a factor of zero takes it away."""
        other = copy(self)
        other.points = Points(self.points.cells, self.points.x, self.points.roots * factors)
        other.roots = self.roots * factors
        return other.among((other.roots > 0).any(1))

    def residuals(self, weights: torch.Tensor) -> torch.Tensor:
        """The weighted residuals, (G, P E)."""
        return self._linearise(weights, False)[0]

    def linearised(self, weights: torch.Tensor) -> tuple[torch.Tensor, Block]:
        """The weighted residuals, (G, P E), and their Jacobian."""
        residual, slopes = self._linearise(weights, True)
        assert slopes is not None
        return residual, self.block(slopes)

    def linearised_about(self, jets: torch.Tensor) -> tuple[torch.Tensor, Block]:
        """The same about a function that the patches need not be able to represent.

        ``jets`` (G, P, outputs, Q) are its own; the residual is that of the linear model at u = 0.
        """
        x = self.points.x
        found = self.equation.linearise(x.flatten(0, 1), jets.flatten(0, 1))
        assert found.slopes is not None
        r = found.residual - (found.slopes * jets.flatten(0, 1)[:, None]).sum((2, 3))
        scale = self.roots[..., None]
        slopes = found.slopes.view(*x.shape[:2], *found.slopes.shape[1:]) * scale[..., None, None]
        return (r.view(*x.shape[:2], -1) * scale).flatten(1), self.block(slopes)

    def _linearise(
        self, weights: torch.Tensor, slopes: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        x, jets = self.points.x, self.jets(weights)
        found = self.equation.linearise(x.flatten(0, 1), jets.flatten(0, 1), slopes)
        scale = self.roots[..., None]
        r = found.residual.view(*x.shape[:2], -1) * scale
        if found.slopes is None:
            return r.flatten(1), None
        shaped = found.slopes.view(*x.shape[:2], *found.slopes.shape[1:])
        return r.flatten(1), shaped * scale[..., None, None]

    def block(self, slopes: torch.Tensor) -> Block:
        """The Jacobian of a residual with weighted ``slopes`` (G, P, E, outputs, Q)."""
        G, P, E, outputs, _ = slopes.shape
        C, K = self.touched.shape[1], self.features
        used = (slopes != 0).flatten(0, 2).any(0)  # (outputs, Q)
        entries = slopes.new_zeros(G, C, P, E, outputs, K)
        for e in range(E):
            for o in range(outputs):
                if bool(used[o].any()):
                    self._fill(entries[:, :, :, e, o], slopes[:, :, e, o], used[o])
        return Block(self.touched, entries.view(G, C, P * E, outputs * K))

    def _fill(self, entries: torch.Tensor, slopes: torch.Tensor, used: torch.Tensor) -> None:
        """Add the operator with ``slopes`` (G, P, Q), applied to every feature, to (G, C, P, K)."""
        for cells in self._chunks():
            sigma = derivatives_of_tanh(self._sigma[cells], self.order)
            own = slopes[cells, None]  # (g, 1, P, Q)
            for order, places in self._orders.items():
                members, factors = [], []
                for q in places:
                    terms = [(a, d, n) for a, d, n in self._leibniz[q] if used[a]]
                    if terms:
                        members.append(q)
                        factors.append(self._factor(cells, own, terms))
                if members:
                    scale = torch.stack(factors, -1)  # (g, C, P, Γ_k)
                    if order:
                        scale = scale @ self._powers[cells, :, members]  # (g, C, P, K)
                    entries[cells].addcmul_(scale, sigma[order])

    def _factor(
        self, cells: slice, own: torch.Tensor, terms: list[tuple[int, int, int]]
    ) -> torch.Tensor:
        """M_γ (g, C, P) of slopes ``own`` (g, 1, P, Q), from its terms (α, α − γ, C(α, γ))."""
        windows = self._windows[cells]
        return torch.stack([n * own[..., a] * windows[..., d] for a, d, n in terms]).sum(0)


def _leibniz(dimensions: int, order: int) -> list[list[tuple[int, int, int]]]:
    """For each γ all (α, α − γ, C(α, γ)) with γ <= α, as places in a jet."""
    indices = upto(dimensions, order)
    place = {alpha: q for q, alpha in enumerate(indices)}
    return [
        [
            (place[alpha], place[minus(alpha, gamma)], binomial(alpha, gamma))
            for alpha in indices
            if all(a >= g for a, g in zip(alpha, gamma, strict=True))
        ]
        for gamma in indices
    ]

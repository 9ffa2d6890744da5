"""Rows where the hidden layers move, too: small local networks instead of random features.

With φ_k = σ(z_k), z = W t + b, t = (x − m)/h, the derivatives of u by what is hidden in a patch are
those of its window times

    Σ_o c_ok ψ_k,   ψ_k = ∂φ_k/∂b_k = σ'(z_k),     and   Σ_o c_ok t_i ψ_k for W_ki,

so they have closed-form jets, too:

    ∂^γ ψ_k = σ^(|γ|+1)(z_k) Π (W_kj/h_j)^γ_j,
    ∂^γ (t_i ψ_k) = t_i ∂^γ ψ_k + (γ_i/h_i) ∂^(γ−e_i) ψ_k.

They stand beside the columns of the output weights in the patch's block of the Jacobian, and
nothing else changes: f is no longer quadratic in the unknowns, and steps are Gauss-Newton's.

Legend: G cells of P points, C corners, K features, d axes, Q numbers in a jet, E equations;
unknowns (S, outputs + d + 1, K), see ``Patches``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ddopt_patches.block import Block
from ddopt_patches.rows import Rows
from ddopt_pinn.activation import derivatives_of_tanh
from ddopt_pinn.derivatives import minus

if TYPE_CHECKING:
    from ddopt_patches.equation import Equation
    from ddopt_patches.network import Patches
    from ddopt_patches.quadrature import Points


class MovingRows(Rows):
    """An equation at points, as a function of output weights and hidden layers."""

    def _rest(self, weights: torch.Tensor) -> tuple[Rows, torch.Tensor]:
        """Rows with the hidden layers of ``weights`` at rest, and the output weights."""
        patches, outputs = self._patches.at(weights)
        rest = Rows(patches, self.points, self.equation, self.weight)
        rest.roots = self.roots
        return rest, outputs

    def jets(self, weights: torch.Tensor) -> torch.Tensor:
        """The jet of u at the points, (G, P, outputs, Q)."""
        rest, outputs = self._rest(weights)
        return rest.jets(outputs)

    def gradient(self, weights: torch.Tensor) -> tuple[float, torch.Tensor]:
        """‖r‖² and its gradient, at the price of a Jacobian."""
        r, block = self.linearised(weights)
        parts = 2.0 * (block.by_corner.mT @ r[:, None, :, None]).squeeze(-1)  # (G, C, B)
        found = weights.new_zeros(len(weights), block.by_corner.shape[-1])
        found.index_add_(0, block.patches.flatten(), parts.flatten(0, 1))
        return float((r * r).sum()), found.view_as(weights)

    def linearised(self, weights: torch.Tensor) -> tuple[torch.Tensor, Block]:
        """The weighted residuals, (G, P E), and their Jacobian by all unknowns of the patches."""
        residual, slopes = self._linearise(weights, True)
        assert slopes is not None
        rest, outputs = self._rest(weights)
        linear = rest.block(slopes)
        hidden = HiddenColumns(rest, outputs).of(slopes)
        return residual, Block(linear.patches, torch.cat([linear.by_corner, hidden], -1))


class HiddenColumns:
    """The Jacobian of rows by the hidden layers of their patches."""

    def __init__(self, rest: Rows, outputs: torch.Tensor) -> None:
        self._rows, self._c = rest, outputs
        grid = rest._patches.grid
        middles, self._halves = grid.frames(rest.points.cells)  # (G, C, d)
        offset = rest.points.x[:, None] - middles[:, :, None]
        self._t = offset / self._halves[:, :, None]  # (G, C, P, d)
        self._dimensions = grid.dimensions

    def of(self, slopes: torch.Tensor) -> torch.Tensor:
        """For weighted ``slopes`` (G, P, E, outputs, Q): (G, C, P E, (d + 1) K), W before b."""
        G, P, E, outputs, _ = slopes.shape
        C, K, d = self._rows.touched.shape[1], self._rows.features, self._dimensions
        found = slopes.new_zeros(G, C, P, E, d + 1, K)
        for cells in self._rows._chunks():
            sigma = derivatives_of_tanh(self._rows._sigma[cells], self._rows.order + 1)
            for o in range(outputs):
                used = (slopes[:, :, :, o] != 0).flatten(0, 2).any(0).tolist()  # (Q,)
                c = self._c[self._rows.touched[cells], o][:, :, None]  # (g, C, 1, K)
                for e in range(E):
                    if any(used):
                        own = self._columns(cells, slopes[cells, :, e, o], used, sigma)
                        found[cells, :, :, e] += own * c[..., None, :]
        return found.view(G, C, P * E, (d + 1) * K)

    def _columns(
        self, cells: slice, slopes: torch.Tensor, used: list[bool], sigma: list[torch.Tensor]
    ) -> torch.Tensor:
        """The operator with ``slopes`` (g, P, Q) of t_i ψ_k and ψ_k, (g, C, P, d + 1, K)."""
        rows, d = self._rows, self._dimensions
        powers, indices = rows._powers[cells], rows._indices
        found = sigma[0].new_zeros(*sigma[0].shape[:3], d + 1, sigma[0].shape[3])
        for q, gamma in enumerate(indices):
            terms = [term for term in rows._leibniz[q] if used[term[0]]]
            if not terms:
                continue
            factor = rows._factor(cells, slopes[:, None], terms)[..., None]  # (g, C, P, 1)
            order = sum(gamma)
            found[..., d, :] += factor * powers[:, :, None, q] * sigma[order + 1]
            for i in range(d):
                if gamma[i]:
                    lower = indices.index(minus(gamma, tuple(int(i == j) for j in range(d))))
                    times = gamma[i] / self._halves[cells, :, None, None, i]
                    found[..., i, :] += factor * times * powers[:, :, None, lower] * sigma[order]
        found[..., :d, :] += self._t[cells, ..., None] * found[..., d:, :]
        return found


def rows_at(patches: Patches, points: Points, equation: Equation, weight: float = 1.0) -> Rows:
    """The rows of an equation, whether the hidden layers of the patches move or not."""
    kind = MovingRows if patches.moving else Rows
    return kind(patches, points, equation, weight)

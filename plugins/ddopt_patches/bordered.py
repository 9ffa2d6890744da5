"""Unknown numbers beside the patches: coefficients of the equation that are to be found.

With k numbers λ the step minimises ‖J d + N e + r‖², N = ∂r/∂λ of shape (m, k). The numbers border
the block-sparse problem, whose factor is used k + 1 times:

    Z = argmin ‖J Z + N‖,   d_0 = argmin ‖J d_0 + r‖,   e = argmin ‖(N + J Z) e + r + J d_0‖,

d = d_0 + Z e. The small problem has orthogonal residuals for rows, so nothing is squared.
(Björck, Numerical Methods for Least Squares Problems, section 6.3: block angular problems.)

Legend: S patches of B unknowns, k numbers, m rows; a vector has the shape (S', B): the numbers fill
rows after those of the patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ddopt_patches.least_squares import REFINEMENTS, LeastSquares
from ddopt_pinn.library import dde, numbers

if TYPE_CHECKING:
    from ddopt_patches.equation import Equation
    from ddopt_patches.rows import Rows

SMALLEST = 1e-8  # singular value of what is left of columns of about length one


class Bordered:
    """``LeastSquares`` and the columns of k numbers; the same interface.

    Args:
        inner: the block-sparse part.
        columns: N, for each group of rows (G, rows, k).

    Raises ``ValueError`` where the rows do not fix the numbers.
    """

    def __init__(self, inner: LeastSquares, columns: Sequence[torch.Tensor]) -> None:
        self.inner, self.kept = inner, inner.kept
        self._k = columns[0].shape[-1]
        self._S, self._B = inner.basis.shape[:2]
        self._size = sum(float(one.square().sum()) for one in columns) ** 0.5 or 1.0
        self._columns = [one / self._size for one in columns]  # of about the length of the others
        each = [
            self._solved([one[..., i] for one in self._columns], REFINEMENTS)
            for i in range(self._k)
        ]
        self._Z = torch.stack([y for y, _ in each], -1)  # (S, B, k)
        left = torch.stack([torch.cat([q.flatten() for q in rest]) for _, rest in each], 1)
        self._pseudo = self._inverse(left)

    def _inverse(self, left: torch.Tensor) -> torch.Tensor:
        """The pseudo-inverse of what J leaves of the columns, (k, m).

        A column of zeros is no fault: u = 0 says nothing about the factor of u. It stays for now.
        """
        lengths = sum(one.square().flatten(0, 1).sum(0) for one in self._columns)
        told = torch.as_tensor(lengths) > 0.0
        self.told = bool(told.all())
        found = left.new_zeros(self._k, len(left))
        if bool(told.any()):
            U, values, V = torch.linalg.svd(left[:, told], full_matrices=False)
            if not bool((values > SMALLEST).all()):
                raise ValueError(
                    f"the residuals do not fix the {self._k} unknown numbers: what one of them "
                    "changes the solution can change as well; give observations "
                    "(dde.icbc.PointSetBC), or look for fewer numbers"
                )
            found[told] = V.mT @ (U.mT / values[:, None])
        return found

    def _solved(
        self, residuals: Sequence[torch.Tensor], refinements: int
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """argmin ‖J y + r‖ and what is left, J y + r."""
        y = self.inner.solve_in_basis(residuals, refinements)
        return y, [r + q for r, q in zip(residuals, self.inner.product(y), strict=True)]

    def _together(self, y: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        rows = -(-self._k // self._B)
        tail = e.new_zeros(rows * self._B)
        tail[: self._k] = e
        return torch.cat([y, tail.view(rows, self._B)])

    def _apart(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return y[: self._S], y[self._S :].flatten()[: self._k]

    def solve_in_basis(self, residuals: Sequence[torch.Tensor], refinements: int) -> torch.Tensor:
        """The minimiser (S', B), in orthonormal coordinates."""
        y, left = self._solved(residuals, refinements)
        wanted = torch.cat([one.flatten() for one in left])
        e = -(self._pseudo @ wanted)
        return self._together(y + self._Z @ e, e)

    def product(self, y: torch.Tensor) -> list[torch.Tensor]:
        """J d + N e, group by group."""
        d, e = self._apart(y)
        pairs = zip(self.inner.product(d), self._columns, strict=True)
        return [q + one @ e for q, one in pairs]

    def from_basis(self, y: torch.Tensor) -> torch.Tensor:
        """To the coordinates of the features and of the numbers, (S', B)."""
        d, e = self._apart(y)
        return self._together(self.inner.from_basis(d), e / self._size)


def columns(rows: Rows, weights: torch.Tensor, unknown: Sequence[torch.Tensor]) -> torch.Tensor:
    """N of a group of rows, (G, rows, k): the derivatives by numbers that the equation asks for."""
    jets = rows.jets(weights)
    found = sensitivities(rows.equation, rows.points.x.flatten(0, 1), jets.flatten(0, 1), unknown)
    shaped = found.view(*rows.points.roots.shape, *found.shape[1:]) * rows.roots[..., None, None]
    return shaped.flatten(1, 2)


def sensitivities(
    equation: Equation, x: torch.Tensor, jets: torch.Tensor, unknown: Sequence[torch.Tensor]
) -> torch.Tensor:
    """∂F/∂λ at points (points, equations, k), for numbers λ that F reads: leaves of the graph.

    The derivative of Σ v F by λ is linear in v, and its derivative by v is what is wanted: two
    backward passes for each number, whatever the equation does with it.
    """
    for one in unknown:
        one.requires_grad_()
    with torch.enable_grad(), numbers(x.dtype, x.device):
        try:
            r = equation.value(x.detach().requires_grad_(), jets.detach())
        finally:
            dde.grad.clear()
        v = torch.ones_like(r).requires_grad_()
        if not r.requires_grad:
            return r.new_zeros(*r.shape, len(unknown))
        slopes = torch.autograd.grad(
            (v * r).sum(), list(unknown), create_graph=True, materialize_grads=True
        )
        parts = [
            torch.autograd.grad(one.sum(), v, retain_graph=True, materialize_grads=True)[0]
            if one.requires_grad
            else torch.zeros_like(v)
            for one in slopes
        ]
    return torch.stack([one.detach() for one in parts], -1)

"""Rows of an equation that needs u at other points than its own: an integral, an operator.

Such an equation has no jet at a point that would say everything. It is given the network itself, at
all points at once, and its Jacobian is autograd's: one backward pass for each row, some rows at a
time. Every row may depend on every patch, so the Jacobian is dense, and the step a dense
least-squares problem: for few patches.

Legend: S' patches that the points touch, B unknowns of each, m rows; weights (S, outputs, K).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ddopt.numerics.randomness import generator
from ddopt_patches.block import Block
from ddopt_patches.equation import ElsewhereError
from ddopt_patches.quadrature import Points
from ddopt_patches.rows import Rows
from ddopt_pinn.library import dde, numbers

if TYPE_CHECKING:
    from ddopt_patches.equation import Function
    from ddopt_patches.network import FBPINN, Patches

MOST = 4_000  # unknowns; the Jacobian has at least twice as many rows
CHUNK = 64  # rows that go backward together


@dataclass(frozen=True)
class Whole:
    """What is known of an equation that is asked for at all points at once."""

    function: Function
    label: str
    equations: int
    fixes: torch.Tensor  # (outputs,): whether it asks for the value; it may, so it is believed


class DenseRows(Rows):
    """A residual at points as a function of the whole network; used where ``Rows`` would be.

    Args:
        net: the network; the function may call it, too, wherever it likes.
        points: where the residual is taken.
        function: (x, u) -> residuals, as for ``Equation``.
        label: how messages call it.
        weight: factor of every residual, beside the roots of the quadrature weights.

    Raises ``ValueError`` for more than ``MOST`` unknowns.
    """

    everywhere = True  # a row may touch every patch
    equation: Any

    def __init__(
        self, net: FBPINN, points: Points, function: Function, label: str, weight: float = 1.0
    ) -> None:
        self._net, self._patches = net, net.patches
        self.points, self.weight, self.order = points, weight, 0
        self.roots = weight * points.roots
        known = torch.ones(self._patches.outputs, dtype=torch.bool)
        self.equation = Whole(function, label, 1, known)
        self.touched, equations = self._examined()
        self.equation = Whole(function, label, equations, known)
        n = self.touched.numel() * self._patches.block
        if n > MOST:
            raise ValueError(
                f"{label} needs u at other points than its own, which makes a dense Jacobian, and "
                f"{n:,} unknowns are too many for one: give fewer patches or features, {MOST:,} "
                "unknowns at most"
            )

    def _examined(self) -> tuple[torch.Tensor, int]:
        """The patches that some residual depends on (1, S'), and the number of equations."""
        chance = generator(0, "patches", "probe")
        weights = torch.rand(self._net.weights.shape, generator=chance, dtype=torch.float64)
        leaf, r = self._values(weights)
        some = torch.rand(r.shape, generator=chance, dtype=torch.float64)
        (slope,) = torch.autograd.grad((some * r).sum(), leaf, materialize_grads=True)
        return (slope != 0).flatten(1).any(1).nonzero().T, r.shape[1]

    @property
    def count(self) -> int:
        """The number of rows that count."""
        return self.points.count * self.equation.equations

    def _values(
        self, weights: torch.Tensor, graph: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The output weights as a leaf, and the residuals at the points that count (m', E)."""
        x = self.points.x[self.points.roots > 0].detach().clone().requires_grad_()
        leaf = weights.detach().clone().requires_grad_(graph)
        with torch.enable_grad(), numbers(x.dtype, x.device), standing_in(self._net, leaf):
            try:
                found: Any = self.equation.function(x, self._net(x))
            finally:
                dde.grad.clear()
        several = found if isinstance(found, (list, tuple)) else [found]
        r = torch.cat([one[:, None] if one.ndim == 1 else one for one in several], 1)
        if len(r) != len(x):
            raise ValueError(
                f"{self.equation.label} gives {len(r)} residuals at {len(x)} points; it must give "
                "one for each point, or a list of such"
            )
        return leaf, r * self.roots[self.points.roots > 0][:, None]

    def residuals(self, weights: torch.Tensor) -> torch.Tensor:
        """The weighted residuals, (1, m): all points are one cell."""
        return self._values(weights, graph=False)[1].detach().flatten()[None]

    def gradient(self, weights: torch.Tensor) -> tuple[float, torch.Tensor]:
        """‖r‖² and its gradient (S, outputs, K)."""
        leaf, r = self._values(weights)
        value = (r * r).sum()
        (found,) = torch.autograd.grad(value, leaf, materialize_grads=True)
        return float(value.detach()), found

    def linearised(self, weights: torch.Tensor) -> tuple[torch.Tensor, Block]:
        """The weighted residuals (1, m), and their Jacobian as one cell that touches everything."""
        leaf, r = self._values(weights)
        flat, own = r.flatten(), self.touched[0]
        entries = flat.new_zeros(len(own), len(flat), self._patches.block)
        for rows in torch.arange(len(flat)).split(CHUNK):
            unit = torch.zeros(len(rows), len(flat), dtype=flat.dtype)
            unit[torch.arange(len(rows)), rows] = 1.0
            (found,) = torch.autograd.grad(
                *(flat, leaf, unit), retain_graph=True, is_grads_batched=True
            )
            entries[:, rows] = found[:, own].flatten(2).transpose(0, 1)
        return flat.detach()[None], Block(self.touched, entries[None])

    def at(self, points: Points) -> DenseRows:
        """The same residual at other points."""
        other = copy(self)
        other.points, other.roots = points, self.weight * points.roots
        other.touched, _ = other._examined()
        return other

    def pieces(self) -> Iterator[DenseRows]:
        """The same rows: they cannot be asked for apart."""
        yield self

    def among(self, kept: torch.Tensor) -> DenseRows:
        """Refused: a row needs u on all cells."""
        raise ElsewhereError(
            self.equation.label,
            "needs u at other points than its own, so its rows belong to no region; take the "
            "strategy 'patches'",
        )

    def weighted(self, factors: torch.Tensor) -> DenseRows:
        """The same rows, each point's times a factor; a factor of zero takes it away."""
        other = copy(self)
        other.points = Points(self.points.cells, self.points.x, self.points.roots * factors)
        other.roots = self.roots * factors
        return other

    def scaled(self, weight: float) -> DenseRows:
        """The same rows with another factor of all residuals."""
        other = copy(self)
        other.weight, other.roots = weight, weight * self.points.roots
        return other


@contextmanager
def standing_in(net: FBPINN, leaf: torch.Tensor) -> Iterator[None]:
    """Let ``leaf`` be the output weights, for whoever evaluates the network meanwhile."""
    own: dict[str, Any] = net._parameters
    held = own["weights"]
    own["weights"] = leaf
    try:
        yield
    finally:
        own["weights"] = held


def instead(
    error: ElsewhereError,
    net: FBPINN | None,
    patches: Patches,
    points: Points,
    function: Function,
    weight: float = 1.0,
) -> DenseRows:
    """Dense rows of what cannot be linearised point by point; says so.

    Raises ``error`` where there is no network to ask, and where the residual reads another one.
    """
    if net is None or net.grid is not patches.grid:
        raise error
    if any(one is not net.weights for one in error.read):
        raise error
    found = DenseRows(net, points, function, error.label, weight)
    warnings.warn(
        f"{error.label} needs u at other points than its own: its Jacobian is autograd's, and "
        f"dense, {found.touched.numel() * patches.block:,} unknowns wide; few patches and features "
        "serve best",
        stacklevel=2,
    )
    return found

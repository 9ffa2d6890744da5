"""J as a linear map: products with it, and the Gram matrix of its smaller side.

Legend: m residuals, n parameters, J (m, n). J may be kept in float32 while the vectors are float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, cached_property

import numpy as np
import torch

from ddopt.numerics.blas import as_many_threads

ROWS = 64  # residuals differentiated at once; bounds the memory

Operator = Callable[[torch.Tensor], torch.Tensor]


class Jacobian(ABC):
    """∂r/∂θ at one θ; vectors go in and come out in the dtype of θ."""

    shape: tuple[int, int]  # (m, n)
    dtype: torch.dtype  # of the entries
    graph_anew = False  # whether each product builds the graph of r again, and costs twice as much

    @property
    @abstractmethod
    def finite(self) -> bool:
        """Whether all entries are, as far as that is known."""

    @abstractmethod
    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """J v, from (n,) to (m,)."""

    @abstractmethod
    def pullback(self, vector: torch.Tensor) -> torch.Tensor:
        """Jᵀw, from (m,) to (n,)."""


class Gramian(Jacobian):
    """A Jacobian whose entries are at hand, so that JJᵀ or JᵀJ can be formed."""

    @abstractmethod
    def gram(self) -> torch.Tensor:
        """JJᵀ (m, m) where m <= n, JᵀJ (n, n) otherwise."""

    @property
    def block(self) -> float:
        """The residuals that a backward pass for one of them goes through, on average."""
        return float(self.shape[0])

    @property
    def dual(self) -> bool:
        """Whether the residuals are the smaller side."""
        return self.shape[0] <= self.shape[1]


class Dense(Gramian):
    """A matrix in this process."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix = matrix
        self.shape, self.dtype = (matrix.shape[0], matrix.shape[1]), matrix.dtype

    @property
    def finite(self) -> bool:
        """Whether all entries are: a sum keeps what is not."""
        return math.isfinite(float(self.matrix.sum()))

    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """J v."""
        return (self.matrix @ vector.to(self.dtype)).to(vector.dtype)

    def pullback(self, vector: torch.Tensor) -> torch.Tensor:
        """Jᵀw."""
        return (self.matrix.T @ vector.to(self.dtype)).to(vector.dtype)

    def gram(self) -> torch.Tensor:
        """The smaller of JJᵀ and JᵀJ."""
        return gram(self.matrix if self.dual else self.matrix.T)


class Products(Jacobian):
    """A Jacobian of which only products are known (``Problem.differential``).

    Jᵀr is asked for by whoever looks whether J is finite, by the scale of a damping and by the
    step; it is made once.
    """

    def __init__(
        self,
        residuals: torch.Tensor,
        parameters: int,
        differential: tuple[Operator, Operator],
        graph_anew: bool = False,
    ) -> None:
        self.shape, self.dtype = (len(residuals), parameters), residuals.dtype
        self.graph_anew = graph_anew
        self._product, self._pullback = differential
        self._residuals = residuals

    @cached_property
    def _slope(self) -> torch.Tensor:
        """Jᵀr, shape (n,)."""
        return self._pullback(self._residuals)

    @property
    def finite(self) -> bool:
        """Whether Jᵀr is: a sum over its rows."""
        return math.isfinite(float(self._slope.sum()))

    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """J v."""
        return self._product(vector)

    def pullback(self, vector: torch.Tensor) -> torch.Tensor:
        """Jᵀw."""
        return self._slope if vector is self._residuals else self._pullback(vector)


def by_graph(residuals: Operator, theta: torch.Tensor) -> tuple[Operator, Operator]:
    """v ↦ J v and w ↦ Jᵀw of differentiable residuals at ``theta`` (n,).

    The graph of r is built once and each product is a backward pass: Jᵀw is linear in w, and Jv the
    gradient of <Jᵀw, v> by w.
    """
    with torch.enable_grad():
        leaf = theta.detach().requires_grad_()
        r = residuals(leaf)

    @cache
    def dual() -> tuple[torch.Tensor, torch.Tensor]:
        """w, and the graph of Jᵀw; made for the first J v."""
        w = torch.zeros_like(r).requires_grad_()
        return w, torch.autograd.grad(r, leaf, w, create_graph=True)[0]

    def product(v: torch.Tensor) -> torch.Tensor:
        w, pulled = dual()
        return torch.autograd.grad(pulled, w, v, retain_graph=True)[0]

    return product, lambda w: torch.autograd.grad(r, leaf, w, retain_graph=True)[0]


def by_rows(r: torch.Tensor, leaves: Sequence[torch.Tensor]) -> torch.Tensor:
    """∂r/∂leaves, shape (m, n), of residuals with a graph: ``ROWS`` of them in a backward pass.

    It works for every graph, and every residual goes through the whole of it.
    """
    unit = torch.eye(len(r), dtype=r.dtype, device=r.device)
    blocks = []
    for rows in unit.split(ROWS) if len(r) else ():
        parts = torch.autograd.grad(
            r, list(leaves), rows, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        flat = [
            rows.new_zeros(len(rows), leaf.numel()) if part is None else part
            for part, leaf in zip(parts, leaves, strict=True)
        ]
        blocks.append(torch.cat([one.reshape(len(rows), -1) for one in flat], 1))
    width = sum(leaf.numel() for leaf in leaves)
    return torch.cat(blocks) if blocks else r.detach().new_zeros(0, width)


def gram(matrix: torch.Tensor) -> torch.Tensor:
    """A Aᵀ, by the symmetric rank-k routine where there is one.

    NumPy calls it for a matrix times its own transpose, at half of a general product's work; torch
    has no such routine on the CPU.
    """
    if matrix.device.type != "cpu":
        return matrix @ matrix.T
    array = matrix.numpy()
    # Whoever factorises it sees an entry that is not finite, and says so.
    quiet = np.errstate(over="ignore", invalid="ignore")
    with as_many_threads(torch.get_num_threads()), quiet:
        return torch.from_numpy(array @ array.T)

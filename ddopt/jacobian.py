"""J as a linear map: products with it, and the Gram matrix of its smaller side.

Legend: m residuals, n parameters, J (m, n). J may be kept in float32 while the vectors are float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from ddopt.blas import as_many_threads

Operator = Callable[[torch.Tensor], torch.Tensor]


class Jacobian(ABC):
    """∂r/∂θ at one θ; vectors go in and come out in the dtype of θ."""

    shape: tuple[int, int]  # (m, n)

    @abstractmethod
    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """J v, from (n,) to (m,)."""

    @abstractmethod
    def pullback(self, vector: torch.Tensor) -> torch.Tensor:
        """Jᵀw, from (m,) to (n,)."""


class Gramian(Jacobian):
    """A Jacobian whose entries are at hand, so that JJᵀ or JᵀJ can be formed."""

    dtype: torch.dtype  # of the entries

    @property
    @abstractmethod
    def finite(self) -> bool:
        """Whether all entries are."""

    @abstractmethod
    def gram(self) -> torch.Tensor:
        """JJᵀ (m, m) where m <= n, JᵀJ (n, n) otherwise."""

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
    """A Jacobian of which only products are known (``Problem.differential``)."""

    def __init__(self, shape: tuple[int, int], differential: tuple[Operator, Operator]) -> None:
        self.shape = shape
        self._product, self._pullback = differential

    def product(self, vector: torch.Tensor) -> torch.Tensor:
        """J v."""
        return self._product(vector)

    def pullback(self, vector: torch.Tensor) -> torch.Tensor:
        """Jᵀw."""
        return self._pullback(vector)


def gram(matrix: torch.Tensor) -> torch.Tensor:
    """A Aᵀ, by the symmetric rank-k routine where there is one.

    NumPy calls it for a matrix times its own transpose, at half of a general product's work; torch
    has no such routine on the CPU.
    """
    if matrix.device.type != "cpu":
        return matrix @ matrix.T
    array = matrix.numpy()
    with as_many_threads(torch.get_num_threads()):
        return torch.from_numpy(array @ array.T)

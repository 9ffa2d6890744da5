"""The Helmholtz equation −Δu − k²u = f at a wave number with k/2π waves along each side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, PDETask, Width


class Helmholtz2D(PDETask):
    """The Helmholtz equation on the unit square, boundary values exact."""

    name = "helmholtz2d"
    axes = ("x", "y")

    class Config(PDETask.Config):
        """Sines as activation, as in DeepXDE's example; the boundary is built into the network."""

        boundary: int = Field(0, ge=0, description="points on the boundary")
        width: Width = Field(50, description="width of the hidden layers")
        depth: Depth = Field(3, description="number of hidden layers")
        activation: str = Field("sin", description="activation function, by DeepXDE's name")
        waves: int = Field(4, ge=1, description="k/π, twice the waves along each side")

    @property
    def k(self) -> float:
        """The wave number."""
        return math.pi * float(self.config.waves)

    def geometry(self) -> Any:
        """(0, 1)²."""
        return dde.geometry.Rectangle([0, 0], [1, 1])

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """−Δu − k²u − k² sin kx sin ky."""
        laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        source = self.k**2 * torch.sin(self.k * x).prod(1, keepdim=True)
        return -laplacian - self.k**2 * u - source

    def conditions(self, geometry: Any) -> list[Any]:
        """None: ``network`` is zero on the boundary."""
        return []

    def network(self) -> Any:
        """x (1 − x) y (1 − y) N(x, y)."""
        net = super().network()
        net.apply_output_transform(lambda x, y: (x * (1.0 - x)).prod(1, keepdim=True) * y)
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """sin kx sin ky."""
        return np.sin(self.k * points).prod(1, keepdims=True)

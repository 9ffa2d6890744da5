"""Poisson's equation −Δu = d π² Π sin πx_i, zero on the boundary; u = Π sin πx_i."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, Distribution, PDETask, Width


class Poisson(PDETask):
    """−Δu = d π² Π sin πx_i in d dimensions, with u = 0 on the boundary."""

    class Config(PDETask.Config):
        """How the boundary condition is asked for."""

        exact: bool = Field(
            False,
            description="build the condition into the network; false: a term of the loss",
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """−Δu − d π² Π sin πx_i."""
        d = len(self.axes)
        laplacian = sum(dde.grad.hessian(u, x, i=i, j=i) for i in range(d))
        source = d * math.pi**2 * torch.sin(math.pi * x).prod(1, keepdim=True)
        return -laplacian - source

    def conditions(self, geometry: Any) -> list[Any]:
        """u = 0 on the boundary; none where the network satisfies it."""
        if self.config.exact:
            return []
        return [dde.icbc.DirichletBC(geometry, lambda x: np.zeros((len(x), 1)), lambda _, on: on)]

    def network(self) -> Any:
        """N(x); where exact, N(x) Π (x_i − a_i)(b_i − x_i)(2/(b_i − a_i))², a factor of 1 at most.

        The box (a, b) is the domain.
        """
        net = super().network()
        if self.config.exact:
            low, high = (torch.as_tensor(end) for end in self.bounds.T)

            def vanishing(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
                a, b = low.to(x), high.to(x)
                return y * (4.0 * (x - a) * (b - x) / (b - a) ** 2).prod(1, keepdim=True)

            net.apply_output_transform(vanishing)
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """Π sin πx_i."""
        return np.sin(np.pi * points).prod(1, keepdims=True)


class Poisson1D(Poisson):
    """Poisson's equation on (−1, 1)."""

    name = "poisson1d"
    axes = ("x",)

    class Config(Poisson.Config):
        """Network of DeepXDE's example Poisson_Dirichlet_1d; its 16 points settle 4e-5 only."""

        interior: int = Field(64, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(2, ge=0, description="points on the boundary")
        distribution: Distribution = Field("uniform", description="how points are chosen")
        width: Width = Field(50, description="width of the hidden layers")
        depth: Depth = Field(3, description="number of hidden layers")

    def geometry(self) -> Any:
        """(−1, 1)."""
        return dde.geometry.Interval(-1, 1)


class Poisson2D(Poisson):
    """Poisson's equation on the unit square."""

    name = "poisson2d"
    axes = ("x", "y")

    def geometry(self) -> Any:
        """(0, 1)²."""
        return dde.geometry.Rectangle([0, 0], [1, 1])

    def data(self, geometry: Any) -> Any:
        """Interior points as chosen; on the boundary the same number on each side."""
        c = self.config
        sides = geometry.uniform_boundary_points(c.boundary)
        return dde.data.PDE(
            geometry,
            self.equation,
            self.conditions(geometry),
            num_domain=c.interior,
            train_distribution=c.distribution,
            anchors=sides,
        )


class Poisson5D(Poisson):
    """Poisson's equation in five dimensions, boundary values exact."""

    name = "poisson5d"
    axes = ("x1", "x2", "x3", "x4", "x5")
    resolution = (8, 8, 8, 8, 8)

    class Config(Poisson.Config):
        """A wider network, with the condition built in."""

        exact: bool = Field(
            True, description="build the condition into the network; false: a term of the loss"
        )
        interior: int = Field(1000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(0, ge=0, description="points on the boundary")
        distribution: Distribution = Field("Sobol", description="how the points are chosen")
        width: Width = Field(64, description="width of the hidden layers")
        depth: Depth = Field(4, description="number of hidden layers")

    def geometry(self) -> Any:
        """(0, 1)⁵."""
        return dde.geometry.Hypercube([0.0] * 5, [1.0] * 5)


class Poisson3D(Poisson):
    """Poisson's equation in the unit cube."""

    name = "poisson3d"
    axes = ("x", "y", "z")

    class Config(Poisson.Config):
        """More points than in the square, and a shallower network."""

        interior: int = Field(2000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(600, ge=0, description="points on the boundary")
        width: Width = Field(32, description="width of the hidden layers")
        depth: Depth = Field(3, description="number of hidden layers")

    def geometry(self) -> Any:
        """(0, 1)³."""
        return dde.geometry.Cuboid([0, 0, 0], [1, 1, 1])

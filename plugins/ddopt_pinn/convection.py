"""Fast convection u_t + β u_x = 0 with periodic ends: easy to state, hard for a network to follow.

Reference: Krishnapriyan et al., Characterizing possible failure modes in physics-informed neural
networks, NeurIPS 2021. Periodicity in the network: Dong and Ni, A method for representing periodic
functions and enforcing exactly periodic boundary conditions with deep neural networks, Journal of
Computational Physics 435 (2021) 110242. Fourier features against the slowness of high frequencies:
Wang, Wang and Perdikaris, Computer Methods in Applied Mechanics and Engineering 384 (2021) 113938.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, PDETask, Width


class Convection(PDETask):
    """Periodic convection at speed 30, on (0, 2π) × (0, 1)."""

    name = "convection"
    axes = ("x", "t")

    class Config(PDETask.Config):
        """A small network with the conditions and the frequencies of time built in."""

        interior: int = Field(2000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(100, ge=0, description="points on the boundary")
        initial: int = Field(256, ge=0, description="points at the initial time")
        width: Width = Field(30, description="width of the hidden layers")
        depth: Depth = Field(2, description="number of hidden layers")
        activation: str = Field("sin", description="activation function, by DeepXDE's name")
        speed: float = Field(30.0, gt=0.0, description="β, the speed of the wave")
        exact: bool = Field(
            True,
            description="build both conditions into the network; false: terms of the loss and a "
            "plain network, as in the reference",
        )
        frequencies: int = Field(
            10, ge=0, description="Fourier features of time where exact: cos and sin of πt to πkt"
        )

    def geometry(self) -> Any:
        """(0, 2π) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(0, 2 * math.pi), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_t + β u_x."""
        return dde.grad.jacobian(u, x, i=0, j=1) + self.config.speed * dde.grad.jacobian(
            u, x, i=0, j=0
        )

    def conditions(self, geometry: Any) -> list[Any]:
        """u(0, t) = u(2π, t), u(x, 0) = sin x; none where the network satisfies them."""
        if self.config.exact:
            return []
        return [
            dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on),
            dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on: on),
        ]

    def network(self) -> Any:
        """sin x + t N(features), periodic and sin x at the start; or the plain N(x, t).

        Features: cos x, sin x, t, and cos πkt, sin πkt for k = 1 to ``frequencies``: their period
        is twice the time, so nothing is said of how the solution repeats itself.
        """
        c = self.config
        if not c.exact:
            return super().network()
        rates = math.pi * torch.arange(1, c.frequencies + 1)

        def features(x: torch.Tensor) -> torch.Tensor:
            angles = torch.cat([x[:, :1], x[:, 1:] * rates.to(x)], 1)
            return torch.cat([torch.cos(angles), torch.sin(angles), x[:, 1:]], 1)

        sizes = [2 * (1 + c.frequencies) + 1, *[c.width] * c.depth, 1]
        net = dde.nn.FNN(sizes, c.activation, "Glorot normal")
        net.apply_feature_transform(features)
        net.apply_output_transform(lambda x, y: torch.sin(x[:, :1]) + x[:, 1:] * y)
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """sin(x − βt)."""
        return np.sin(points[:, :1] - self.config.speed * points[:, 1:])

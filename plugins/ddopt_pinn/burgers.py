"""Burgers' equation u_t + u u_x = ν u_xx: a shock forms; the Cole-Hopf transform solves it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.stack import Image
from ddopt_pinn.task import Depth, PDETask

VISCOSITY = 0.01 / np.pi
NODES = 100  # of the Gauss-Hermite rule; the error is then below 1e-11


class Burgers(PDETask):
    """Burgers' equation with a shock, ν = 0.01/π, on (−1, 1) × (0, 0.99)."""

    name = "burgers"
    axes = ("x", "t")
    resolution = (401, 100)  # resolves the shock, which is about 0.01 wide

    class Config(PDETask.Config):
        """Points as in DeepXDE's example; the network of the published comparisons."""

        interior: int = Field(2540, ge=0, description="points at which the equation is asked for")
        initial: int = Field(160, ge=0, description="points at the initial time")
        depth: Depth = Field(4, description="number of hidden layers")
        exact: bool = Field(
            False,
            description="build the conditions into the network; false: terms of the loss",
        )
        odd: bool = Field(
            False, description="N(x, t) − N(−x, t) for N, odd in x as the solution; costs twice"
        )

    def geometry(self) -> Any:
        """(−1, 1) × (0, 0.99)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 0.99)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_t + u u_x − ν u_xx."""
        u_x = dde.grad.jacobian(u, x, i=0, j=0)
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t + u * u_x - VISCOSITY * dde.grad.hessian(u, x, i=0, j=0)

    def conditions(self, geometry: Any) -> list[Any]:
        """u(±1, t) = 0, u(x, 0) = −sin πx; none where the network satisfies them."""
        if self.config.exact:
            return []
        return [
            dde.icbc.DirichletBC(geometry, lambda x: np.zeros((len(x), 1)), lambda _, on: on),
            dde.icbc.IC(geometry, lambda x: -np.sin(np.pi * x[:, :1]), lambda _, on: on),
        ]

    def network(self) -> Any:
        """N(x, t); where exact, −sin πx + t (1 − x²) N(x, t).

        Where odd, N(x, t) − N(−x, t). The place of the shock is the solution's softest direction:
        the loss hardly sees it move, and the symmetry of equation and conditions holds it at x = 0.
        """
        c = self.config
        sizes = [2, *[c.width] * c.depth, 1]
        net = mirrored(sizes, c.activation) if c.odd else super().network()
        if self.config.exact:
            net.apply_output_transform(
                lambda x, y: -torch.sin(math.pi * x[:, :1]) + x[:, 1:] * (1.0 - x[:, :1] ** 2) * y
            )
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """Cole-Hopf: a quotient of two Gaussian integrals, by Gauss-Hermite quadrature.

        u = −∫ sin π(x−η) F(x−η) e^(−η²/4νt) dη / ∫ F(x−η) e^(−η²/4νt) dη with
        F(y) = e^(−cos πy / 2πν). Reference: Basdevant et al., Computers & Fluids 14 (1986) 23.
        """
        x, t = points[:, :1], points[:, 1:]
        nodes, weights = np.polynomial.hermite.hermgauss(NODES)
        y = x - np.sqrt(4.0 * VISCOSITY * t) * nodes  # shape: (points, nodes)
        density = weights * np.exp(-np.cos(np.pi * y) / (2.0 * np.pi * VISCOSITY))
        upper = -(np.sin(np.pi * y) * density).sum(1, keepdims=True)
        return upper / density.sum(1, keepdims=True)


def mirrored(sizes: list[int], activation: str) -> Any:
    """A ``dde.nn.FNN`` N that answers N(x, t) − N(−x, t), before its output transform."""

    class Odd(dde.nn.FNN):
        """A network that is odd in x."""

        images = (Image(), Image(-1.0, (-1.0, 1.0)))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """Evaluate at (x, t) and at (−x, t)."""
            opposite = inputs * inputs.new_tensor([-1.0, 1.0])
            y = self._plain(inputs) - self._plain(opposite)
            after = self._output_transform
            return y if after is None else after(inputs, y)

        def _plain(self, x: torch.Tensor) -> torch.Tensor:
            for linear in self.linears[:-1]:
                x = self.activation(linear(x))
            return self.linears[-1](x)

    return Odd(sizes, activation, "Glorot normal")

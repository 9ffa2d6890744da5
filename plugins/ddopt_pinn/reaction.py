"""The reaction equation: an exponential growth that networks like to miss, for u = 0 solves it too.

Source of the problem: Krishnapriyan et al., Characterizing possible failure modes in
physics-informed neural networks, NeurIPS 2021.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, Distribution, PDETask, Width


class Reaction(PDETask):
    """Logistic growth u_t = ρ u (1 − u) from a Gaussian bell, on (0, 2π) × (0, 1)."""

    name = "reaction"
    axes = ("x", "t")

    class Config(PDETask.Config):
        """The bell is built into the network."""

        rho: float = Field(5.0, gt=0.0, description="ρ, the speed of growth")
        interior: int = Field(1200, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(0, ge=0, description="points on the boundary")
        distribution: Distribution = Field("Sobol", description="how the points are chosen")
        width: Width = Field(30, description="width of the hidden layers")
        depth: Depth = Field(3, description="number of hidden layers")

    def geometry(self) -> Any:
        """(0, 2π) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(0, 2 * math.pi), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_t − ρ u (1 − u)."""
        return dde.grad.jacobian(u, x, i=0, j=1) - self.config.rho * u * (1.0 - u)

    def conditions(self, geometry: Any) -> list[Any]:
        """None: ``network`` is the bell at the start, and space derivatives there are none."""
        return []

    def network(self) -> Any:
        """The bell + t N(x, t)."""
        net = super().network()

        def whole(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            bell = torch.exp(-0.5 * ((x[:, :1] - math.pi) / (math.pi / 4.0)) ** 2)
            return bell + x[:, 1:] * y

        net.apply_feature_transform(lambda x: x / x.new_tensor([math.pi, 0.5]) - 1.0)
        net.apply_output_transform(whole)
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """h e^{ρt} / (h e^{ρt} + 1 − h), h the bell."""
        bell = np.exp(-0.5 * ((points[:, :1] - math.pi) / (math.pi / 4.0)) ** 2)
        grown = bell * np.exp(self.config.rho * points[:, 1:])
        return grown / (grown + 1.0 - bell)

"""The wave equation with two standing waves: stiff, as the two travel at their own frequencies.

Source of the problem: Wang, Yu and Perdikaris, When and why PINNs fail to train: a neural tangent
kernel perspective, Journal of Computational Physics 449 (2022) 110768 (β = 4); Rathore et al.,
Challenges in training PINNs, ICML 2024 (β = 5).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, Distribution, PDETask, Width

SCALE = 10.0  # the network sees the box as (−10, 10)²: its first layer must make β waves


class Wave(PDETask):
    """The wave equation with two standing waves, u_tt = 4 u_xx on (0, 1)²."""

    name = "wave"
    axes = ("x", "t")

    class Config(PDETask.Config):
        """The conditions are built into the network."""

        beta: float = Field(4.0, gt=0.0, description="β, the waves of the second term")
        interior: int = Field(2000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(0, ge=0, description="points on the boundary")
        distribution: Distribution = Field("Sobol", description="how the points are chosen")
        width: Width = Field(30, description="width of the hidden layers")
        depth: Depth = Field(4, description="number of hidden layers")
        activation: str = Field("sin", description="activation function, by DeepXDE's name")

    def geometry(self) -> Any:
        """(0, 1) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(0, 1), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_tt − 4 u_xx."""
        return dde.grad.hessian(u, x, i=1, j=1) - 4.0 * dde.grad.hessian(u, x, i=0, j=0)

    def conditions(self, geometry: Any) -> list[Any]:
        """None: ``network`` satisfies u(0, t) = u(1, t) = 0, u(x, 0) and u_t(x, 0) = 0."""
        return []

    def network(self) -> Any:
        """u(x, 0) + A 4 x (1 − x) t² N(x, t).

        Twice A N is about u_tt, so A = π²(4 + 2β²) makes N of size one; without it, and with tanh
        and ``SCALE`` = 3, training stands at an error of 0.4 (docs/pinn.md).
        """
        net, beta = super().network(), self.config.beta
        size = math.pi**2 * (4.0 + 2.0 * beta * beta)

        def whole(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            s, t = x[:, :1], x[:, 1:]
            start = torch.sin(math.pi * s) + 0.5 * torch.sin(beta * math.pi * s)
            return start + size * t * t * 4.0 * s * (1.0 - s) * y

        net.apply_feature_transform(lambda x: SCALE * (2.0 * x - 1.0))
        net.apply_output_transform(whole)
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """sin πx cos 2πt + ½ sin βπx cos 2βπt."""
        x, t, beta = np.pi * points[:, :1], np.pi * points[:, 1:], self.config.beta
        slow = np.sin(x) * np.cos(2.0 * t)
        return slow + 0.5 * np.sin(beta * x) * np.cos(2.0 * beta * t)

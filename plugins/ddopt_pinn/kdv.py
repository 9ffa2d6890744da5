"""The Korteweg-de Vries equation: a soliton, and a third derivative in space."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, Distribution, PDETask, Width

END = 5.0  # of the interval


class KdV(PDETask):
    """A soliton of speed 4, u_t + 6 u u_x + u_xxx = 0 on (−5, 5) × (0, 1)."""

    name = "kdv"
    axes = ("x", "t")

    class Config(PDETask.Config):
        """Given are u(x, 0), u(±5, t) and u_x(5, t); they are built into the network."""

        interior: int = Field(1200, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(0, ge=0, description="points on the boundary")
        distribution: Distribution = Field("Sobol", description="how the points are chosen")
        width: Width = Field(30, description="width of the hidden layers")
        depth: Depth = Field(4, description="number of hidden layers")
        activation: str = Field("sin", description="activation function, by DeepXDE's name")

    def geometry(self) -> Any:
        """(−5, 5) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(-END, END), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_t + 6 u u_x + u_xxx."""
        u_x = dde.grad.jacobian(u, x, i=0, j=0)
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        return u_t + 6.0 * u * u_x + dde.grad.hessian(u_x, x, i=0, j=0)

    def conditions(self, geometry: Any) -> list[Any]:
        """None: ``network`` satisfies them."""
        return []

    def network(self) -> Any:
        """What is given, continued into the domain, + t (1 + z)(1 − z)² N(x, t) with z = x/5."""
        net = super().network()

        def whole(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            z, t = x[:, :1] / END, x[:, 1:]
            return given(x[:, :1], z, t) + t * (1.0 + z) * (1.0 - z) ** 2 * y

        net.apply_feature_transform(
            lambda x: 2.0 * (x - x.new_tensor([0.0, 0.5])) / x.new_tensor([END, 0.5])
        )
        net.apply_output_transform(whole)
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """2 / cosh²(x − 4t)."""
        return 2.0 / np.cosh(points[:, :1] - 4.0 * points[:, 1:]) ** 2


def given(x: torch.Tensor, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """u(x, 0) and a parabola in x that has what is given at both ends; all (points, 1)."""

    def gained(end: float) -> torch.Tensor:
        return 2.0 / torch.cosh(end - 4.0 * t) ** 2 - 2.0 / math.cosh(end) ** 2

    def slope(time: torch.Tensor) -> torch.Tensor:
        there = END - 4.0 * time
        return -4.0 * torch.tanh(there) / torch.cosh(there) ** 2

    left, right = gained(-END), gained(END)
    steep = END * (slope(t) - slope(0.0 * t))
    s = 1.0 - z  # from the right end; the left one is at s = 2
    parabola = right - steep * s + (left - right + 2.0 * steep) * s * s / 4.0
    return 2.0 / torch.cosh(x) ** 2 + parabola

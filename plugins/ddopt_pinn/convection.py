"""Fast convection u_t + β u_x = 0 with periodic ends: easy to state, hard for a network to follow.

Reference: Krishnapriyan et al., Characterizing possible failure modes in physics-informed neural
networks, NeurIPS 2021.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import PDETask


class Convection(PDETask):
    """Periodic convection at speed 30, on (0, 2π) × (0, 1)."""

    name = "convection"
    axes = ("x", "t")

    class Config(PDETask.Config):
        """The network and the number of points of the reference."""

        interior: int = Field(1000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(100, ge=0, description="points on the boundary")
        initial: int = Field(256, ge=0, description="points at the initial time")
        width: int = Field(50, ge=1, description="width of the hidden layers")
        depth: int = Field(4, ge=1, description="number of hidden layers")
        speed: float = Field(30.0, gt=0.0, description="β, the speed of the wave")

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
        """u(0, t) = u(2π, t), u(x, 0) = sin x."""
        return [
            dde.icbc.PeriodicBC(geometry, 0, lambda _, on: on),
            dde.icbc.IC(geometry, lambda x: np.sin(x[:, :1]), lambda _, on: on),
        ]

    def solution(self, points: np.ndarray) -> np.ndarray:
        """sin(x − βt)."""
        return np.sin(points[:, :1] - self.config.speed * points[:, 1:])

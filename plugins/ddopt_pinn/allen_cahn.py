"""The Allen-Cahn equation: steady, with a flat interface, and evolving towards two phases."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, PDETask

DIFFUSION, REACTION = 1e-3, 5.0
CELLS = 4000  # of the method of lines; against 8,000 the solution changes by less than 1e-5
INTERFACE = 0.1  # ε of the steady equation
NORMAL = (math.cos(math.pi / 6), math.sin(math.pi / 6))  # of its interface


class AllenCahn(PDETask):
    """The Allen-Cahn equation in time: phases separate, with thin interfaces between them."""

    name = "allen_cahn"
    axes = ("x", "t")
    resolution = (201, 101)

    class Config(PDETask.Config):
        """Points and network as in DeepXDE's example; the conditions are built into the network."""

        interior: int = Field(8000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(0, ge=0, description="points on the boundary")
        depth: Depth = Field(3, description="number of hidden layers")

    def geometry(self) -> Any:
        """(−1, 1) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_t − 10⁻³ u_xx − 5(u − u³)."""
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        return u_t - DIFFUSION * u_xx - REACTION * (u - u**3)

    def conditions(self, geometry: Any) -> list[Any]:
        """None: ``network`` satisfies u(x, 0) = x² cos πx and u(±1, t) = −1."""
        return []

    def network(self) -> Any:
        """x² cos πx + t (1 − x²) N(x, t)."""
        net = super().network()
        net.apply_output_transform(
            lambda x, y: (
                x[:, :1] ** 2 * torch.cos(math.pi * x[:, :1]) + x[:, 1:] * (1.0 - x[:, :1] ** 2) * y
            )
        )
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """The method of lines, interpolated by cubic splines."""
        return lines()(points[:, :1], points[:, 1:], grid=False)


@cache
def lines(cells: int = CELLS) -> Any:
    """The solution of the evolving equation as a spline in (x, t), from central differences in x.

    Radau IIA in time with a banded Jacobian, to a relative tolerance of 1e-9.
    """
    from scipy.integrate import solve_ivp
    from scipy.interpolate import RectBivariateSpline
    from scipy.sparse import diags_array

    x = np.linspace(-1.0, 1.0, cells + 1)
    ones = np.ones(cells - 1)
    second = diags_array([ones[1:], -2.0 * ones, ones[1:]], offsets=[-1, 0, 1], format="csc") * (
        DIFFUSION * (cells / 2.0) ** 2
    )
    ends = np.zeros(cells - 1)
    ends[[0, -1]] = -DIFFUSION * (cells / 2.0) ** 2  # u = −1 there

    solved = solve_ivp(
        lambda _, u: second @ u + ends + REACTION * (u - u**3),
        (0.0, 1.0),
        (x**2 * np.cos(np.pi * x))[1:-1],
        method="Radau",
        t_eval=np.linspace(0.0, 1.0, 201),
        jac=lambda _, u: second + diags_array(REACTION * (1.0 - 3.0 * u**2), format="csc"),
        rtol=1e-9,
        atol=1e-9,
    )
    assert solved.success, solved.message
    values = np.pad(solved.y, ((1, 1), (0, 0)), constant_values=-1.0)
    return RectBivariateSpline(x, solved.t, values)


class AllenCahnSteady(PDETask):
    """The steady Allen-Cahn equation on a square, with an oblique interface of width ε = 0.1."""

    name = "allen_cahn_steady"
    axes = ("x", "y")

    class Config(PDETask.Config):
        """Enough points for the interface."""

        interior: int = Field(2000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(160, ge=0, description="points on the boundary")
        depth: Depth = Field(4, description="number of hidden layers")

    def geometry(self) -> Any:
        """(−1, 1)²."""
        return dde.geometry.Rectangle([-1, -1], [1, 1])

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """ε²Δu + u − u³."""
        laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        return INTERFACE**2 * laplacian + u - u**3

    def conditions(self, geometry: Any) -> list[Any]:
        """The closed form on the boundary."""
        return [dde.icbc.DirichletBC(geometry, self.solution, lambda _, on: on)]

    def solution(self, points: np.ndarray) -> np.ndarray:
        """tanh(n·x / √2 ε): the flat interface, exact in the plane."""
        distance = points @ np.asarray(NORMAL)[:, None]
        return np.tanh(distance / (math.sqrt(2.0) * INTERFACE))

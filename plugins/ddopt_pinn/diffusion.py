"""Diffusion: with a source in four frequencies, and with a coefficient that is to be found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt.palette import INK
from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, PDETask, Width

# u = e^(−t) Σ a_k sin kx solves u_t = u_xx + e^(−t) Σ a_k (k² − 1) sin kx.
AMPLITUDES = {1: 1.0, 2: 1 / 2, 3: 1 / 3, 4: 1 / 4, 8: 1 / 8}


class DiffusionReaction(PDETask):
    """Diffusion with a source in several frequencies, on (−π, π) × (0, 1)."""

    name = "diffusion_reaction"
    axes = ("x", "t")

    class Config(PDETask.Config):
        """Points and network as in DeepXDE's example; the conditions are built into the network."""

        interior: int = Field(320, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(0, ge=0, description="points on the boundary")
        width: Width = Field(30, description="width of the hidden layers")
        depth: Depth = Field(6, description="number of hidden layers")

    def geometry(self) -> Any:
        """(−π, π) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(-math.pi, math.pi), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """u_t − u_xx − e^(−t) Σ a_k (k² − 1) sin kx."""
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        waves = sum(a * (k * k - 1) * torch.sin(k * x[:, :1]) for k, a in AMPLITUDES.items())
        return u_t - u_xx - torch.exp(-x[:, 1:]) * waves

    def conditions(self, geometry: Any) -> list[Any]:
        """None: ``network`` satisfies the initial condition and u(±π, t) = 0."""
        return []

    def network(self) -> Any:
        """Σ a_k sin kx + t (π² − x²) N(x, t)."""
        net = super().network()
        net.apply_output_transform(
            lambda x, y: (
                sum(a * torch.sin(k * x[:, :1]) for k, a in AMPLITUDES.items())
                + x[:, 1:] * (math.pi**2 - x[:, :1] ** 2) * y
            )
        )
        return net

    def solution(self, points: np.ndarray) -> np.ndarray:
        """e^(−t) Σ a_k sin kx."""
        waves = [a * np.sin(k * points[:, :1]) for k, a in AMPLITUDES.items()]
        return np.exp(-points[:, 1:]) * np.sum(waves, axis=0)


class DiffusionInverse(PDETask):
    """An inverse problem: the diffusion coefficient, from ten values at the final time."""

    name = "diffusion_inverse"
    axes = ("x", "t")
    unknowns = {"coefficient": 2.0}  # noqa: RUF012
    truth = {"coefficient": 1.0}  # noqa: RUF012

    class Config(PDETask.Config):
        """Points and network of the size of DeepXDE's example diffusion_1d_inverse."""

        interior: int = Field(40, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(20, ge=0, description="points on the boundary")
        initial: int = Field(10, ge=0, description="points at the initial time")
        width: Width = Field(32, description="width of the hidden layers")
        depth: Depth = Field(3, description="number of hidden layers")
        measurements: int = Field(10, ge=1, description="measured values at t = 1")

    def geometry(self) -> Any:
        """(−1, 1) × (0, 1)."""
        return dde.geometry.GeometryXTime(
            dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1)
        )

    def equation(self, x: Any, u: Any, coefficient: Any) -> Any:
        """u_t − c u_xx + e^(−t) (1 − π²) sin πx."""
        u_t = dde.grad.jacobian(u, x, i=0, j=1)
        u_xx = dde.grad.hessian(u, x, i=0, j=0)
        source = torch.exp(-x[:, 1:]) * (1.0 - math.pi**2) * torch.sin(math.pi * x[:, :1])
        return u_t - coefficient * u_xx + source

    @property
    def measured(self) -> np.ndarray:
        """Where it was measured, shape (measurements, 2)."""
        x = np.linspace(-1, 1, self.config.measurements)[:, None]
        return np.hstack([x, np.ones_like(x)])

    def decorate(self, panel: Any, axes: tuple[str, ...]) -> None:
        """The data."""
        x, t = self.measured.T
        panel.plot(t, x, "o", ms=5, color="white", mec=INK, clip_on=False, zorder=5, label="data")
        panel.legend(frameon=False, loc="lower left", fontsize=9)

    def conditions(self, geometry: Any) -> list[Any]:
        """The solution on the boundary, at the start, and where it was measured."""
        measured = self.measured
        return [
            dde.icbc.DirichletBC(geometry, self.solution, lambda _, on: on),
            dde.icbc.IC(geometry, self.solution, lambda _, on: on),
            dde.icbc.PointSetBC(measured, self.solution(measured)),
        ]

    def solution(self, points: np.ndarray) -> np.ndarray:
        """e^(−t) sin πx, for c = 1."""
        return np.exp(-points[:, 1:]) * np.sin(np.pi * points[:, :1])

"""Poisson's equation with a solution of several scales: what one network learns slowly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import PDETask


class Multiscale(PDETask):
    """Poisson's equation on the unit square, a mean of sines of several frequencies.

    Source of the problem: Dolean, Heinlein, Mishra and Moseley, Multilevel domain
    decomposition-based architectures for physics-informed neural networks, CMAME 429 (2024).
    """

    name = "multiscale"
    axes = ("x", "y")
    resolution = (201, 201)

    class Config(PDETask.Config):
        """Frequencies, and points enough for them."""

        frequencies: list[float] = Field(
            [2.0, 4.0, 8.0], min_length=1, description="ω of the terms sin ωπx sin ωπy"
        )
        interior: int = Field(4000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(400, ge=0, description="points on the boundary")
        depth: int = Field(4, ge=1, description="number of hidden layers")
        width: int = Field(40, ge=1, description="width of the hidden layers")

    def geometry(self) -> Any:
        """(0, 1)²."""
        return dde.geometry.Rectangle([0, 0], [1, 1])

    def equation(self, x: Any, u: Any, *_: Any) -> Any:
        """−Δu − f with f = (1/L) Σ 2 (ωπ)² sin ωπx sin ωπy."""
        laplacian = dde.grad.hessian(u, x, i=0, j=0) + dde.grad.hessian(u, x, i=1, j=1)
        omegas = self.config.frequencies
        terms = [2 * (w * math.pi) ** 2 * torch.sin(w * math.pi * x).prod(1) for w in omegas]
        return -laplacian - sum(terms)[:, None] / len(omegas)

    def conditions(self, geometry: Any) -> list[Any]:
        """u = 0 on the boundary (for whole frequencies)."""
        return [dde.icbc.DirichletBC(geometry, self.solution, lambda _, on: on)]

    def solution(self, points: np.ndarray) -> np.ndarray:
        """(1/L) Σ sin ωπx sin ωπy."""
        omegas = self.config.frequencies
        terms = [np.sin(w * math.pi * points).prod(1, keepdims=True) for w in omegas]
        return np.sum(terms, axis=0) / len(omegas)

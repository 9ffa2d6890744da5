"""The lid-driven cavity, steady, against the tables of Ghia, Ghia and Shin."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import Field

from ddopt_pinn.library import dde
from ddopt_pinn.task import Depth, Distribution, PDETask, Width

# Journal of Computational Physics 48 (1982) 387: Re = 100, tables I and II, without the walls.
ACROSS = [0.0625, 0.0703, 0.0781, 0.0938, 0.1563, 0.2266, 0.2344, 0.5, 0.8047, 0.8594, 0.9063]
ACROSS += [0.9453, 0.9531, 0.9609, 0.9688]
V = [0.09233, 0.10091, 0.10890, 0.12317, 0.16077, 0.17507, 0.17527, 0.05454, -0.24533, -0.22445]
V += [-0.16914, -0.10313, -0.08864, -0.07391, -0.05906]
UP = [0.0547, 0.0625, 0.0703, 0.1016, 0.1719, 0.2813, 0.4531, 0.5, 0.6172, 0.7344, 0.8516]
UP += [0.9531, 0.9609, 0.9688, 0.9766]
U = [-0.03717, -0.04192, -0.04775, -0.06434, -0.10150, -0.15662, -0.21090, -0.20581, -0.13641]
U += [0.00332, 0.23151, 0.68717, 0.73722, 0.78871, 0.84123]
REYNOLDS = 100.0  # of the tables
NEAR = 0.1  # distance to a corner of the lid, where the equations are singular


class Cavity(PDETask):
    """The lid-driven cavity at Re = 100, in velocity and pressure.

    ``error`` is the relative distance from the 30 values of the tables. They have five digits, and
    four of them are 5e-3 to 9e-3 away from finer computations (docs/results/patches.md).
    """

    name = "cavity"
    axes = ("x", "y")
    outputs = ("u", "v", "p")

    class Config(PDETask.Config):
        """Velocities are terms of the loss: at the lid's corners no network can have them."""

        interior: int = Field(2000, ge=0, description="points at which the equation is asked for")
        boundary: int = Field(400, ge=0, description="points on the boundary")
        distribution: Distribution = Field("Sobol", description="how the points are chosen")
        width: Width = Field(40, description="width of the hidden layers")
        depth: Depth = Field(4, description="number of hidden layers")

    def geometry(self) -> Any:
        """(0, 1)²."""
        return dde.geometry.Rectangle([0, 0], [1, 1])

    def equation(self, x: Any, w: Any, *_: Any) -> Any:
        """Momentum along both axes, and mass; weighted down at the corners of the lid."""
        d = dde.grad
        u, v = w[:, :1], w[:, 1:2]
        corners = torch.minimum(x[:, :1] ** 2, (1.0 - x[:, :1]) ** 2) + (1.0 - x[:, 1:]) ** 2
        factor = (corners / (corners + NEAR**2)).sqrt()

        def momentum(i: int) -> Any:
            carried = u * d.jacobian(w, x, i=i, j=0) + v * d.jacobian(w, x, i=i, j=1)
            spread = sum(d.hessian(w, x, component=i, i=j, j=j) for j in (0, 1))
            return carried + d.jacobian(w, x, i=2, j=i) - spread / REYNOLDS

        mass = d.jacobian(w, x, i=0, j=0) + d.jacobian(w, x, i=1, j=1)
        return [factor * momentum(0), factor * momentum(1), factor * mass]

    def conditions(self, geometry: Any) -> list[Any]:
        """(u, v) = (1, 0) on the lid and 0 on the walls; p = 0 in the middle of the floor."""

        def on(_: Any, there: bool) -> bool:
            return there

        floor = np.array([[0.5, 0.0]])
        return [
            dde.icbc.DirichletBC(geometry, lambda x: np.isclose(x[:, 1:], 1.0) * 1.0, on),
            dde.icbc.DirichletBC(geometry, lambda x: np.zeros((len(x), 1)), on, component=1),
            dde.icbc.PointSetBC(floor, np.zeros((1, 1)), component=2),
        ]

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """``error`` against the tables, and ``validation_loss``."""
        up = np.stack([np.full(len(UP), 0.5), np.array(UP)], 1)
        across = np.stack([np.array(ACROSS), np.full(len(ACROSS), 0.5)], 1)
        points, known = np.concatenate([up, across]), np.array(U + V)
        which = torch.tensor([0] * len(U) + [1] * len(V), device=theta.device)  # u, then v
        if self._cut is None:
            found = self.predict(theta, points)[np.arange(len(known)), which.cpu().numpy()]
            distance = float(np.linalg.norm(found - known))
        else:
            value = self._tensor(known)
            distance = self._distance_in_stages(
                theta, points, lambda w, i: w.gather(1, which[i, None])[:, 0] - value[i]
            )
        error = distance / float(np.linalg.norm(known))
        return {"error": error, **super().measure(theta)}

"""Learning an operator: the antiderivative of a Gaussian random field, by a DeepONet.

G: v ↦ u with u′ = v, u(0) = 0 on (0, 1). The network sees v at sensors, and gives u at points:

    u_θ(x; v) = Σ_k branch_k(v) trunk_k(x) + b

Reference: Lu et al., Learning nonlinear operators via DeepONet, Nature Machine Intelligence 3
(2021) 218. The fields are made here, and their antiderivatives are closed forms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field

from ddopt.evaluation.autograd import AutogradProblem, Named
from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator
from ddopt.numerics.space import Layout
from ddopt.setup.component import Settings
from ddopt.task import Setting, Task
from ddopt_pinn.library import building, check_activation, dde
from ddopt_pinn.task import Depth, Width

if TYPE_CHECKING:
    from pathlib import Path

MODES = 40  # of the period 2; the next one has less than 1e-17 of the variance
TICKS = 101  # points of the grid that errors are taken on


class Fields:
    """Gaussian random fields on (0, 1) as Fourier series, with their antiderivatives.

    Their covariance is that of squared exponentials, made periodic on (0, 2): Σ_n exp(−(x − y +
    2n)²/2l²), so that mode k has a variance in proportion to exp(−(πkl)²/2).
    """

    def __init__(self, count: int, length: float, random: torch.Generator) -> None:
        self.waves = math.pi * np.arange(MODES + 1)
        variance = np.exp(-0.5 * (self.waves * length) ** 2)
        variance[1:] *= 2.0
        scale = np.sqrt(variance / variance.sum())  # v(x) has variance one
        drawn = torch.randn(2, count, MODES + 1, generator=random, dtype=torch.float64).numpy()
        self.cosines, self.sines = drawn * scale  # shape: (count, modes)

    def values(self, x: np.ndarray) -> np.ndarray:
        """v at points (points,), shape (count, points)."""
        angle = self.waves[:, None] * x
        return self.cosines @ np.cos(angle) + self.sines @ np.sin(angle)

    def integrals(self, x: np.ndarray) -> np.ndarray:
        """∫₀ˣ v, shape (count, points): each mode in closed form."""
        waves = self.waves[1:, None]
        angle = waves * x
        found = self.cosines[:, 1:] @ (np.sin(angle) / waves)
        found += self.sines[:, 1:] @ ((1.0 - np.cos(angle)) / waves)
        return found + self.cosines[:, :1] * x


class Operator(torch.nn.Module):
    """A DeepONet: a network for functions, one for points, and the products of their outputs."""

    def __init__(self, sensors: int, width: int, depth: int, activation: str) -> None:
        super().__init__()
        hidden = [width] * depth
        self.branch = dde.nn.FNN([sensors, *hidden], activation, "Glorot normal")
        self.trunk = dde.nn.FNN([1, *hidden], activation, "Glorot normal")
        self._activation = dde.nn.activations.get(activation)
        self.bias = torch.nn.Parameter(torch.zeros(()))
        self._activation = self.trunk.activation

    def forward(
        self, sensed: torch.Tensor, points: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of functions (functions, width) and of points (points, width), and the bias."""
        return self.branch(sensed), self._activation(self.trunk(points)), self.bias


class OperatorProblem(AutogradProblem):
    """The mean square of u_θ(x_p; v_f) − u_f(x_p) over all functions f and points p.

    Sample f·P + p is point p of function f. On a part of the samples, only the functions and points
    that occur in it go through the networks.
    """

    def __init__(
        self,
        layout: Layout,
        net: Operator,
        sensed: torch.Tensor,
        points: torch.Tensor,
        targets: torch.Tensor,
    ) -> None:
        self._net, self._sensed, self._points, self._targets = net, sensed, points, targets
        super().__init__(layout, self._square_sums, Samples.all(targets.numel()))

    def predict(self, named: Named, sensed: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """u_θ at all points (points, 1) of all functions (functions, sensors)."""
        features, trunk, bias = torch.func.functional_call(self._net, dict(named), (sensed, points))
        found: torch.Tensor = features @ trunk.T + bias
        return found

    def _errors(self, named: Named, samples: Samples) -> torch.Tensor:
        index = samples.terms[0].to(self._targets.device)
        if len(index) == self._targets.numel():
            whole = self.predict(named, self._sensed, self._points) - self._targets
            return whole.reshape(-1)[index]
        count = len(self._points)
        functions, row = torch.unique(index // count, return_inverse=True)
        places, column = torch.unique(index % count, return_inverse=True)
        part = self.predict(named, self._sensed[functions], self._points[places])
        return part[row, column] - self._targets.reshape(-1)[index]

    def _square_sums(self, named: Named, samples: Samples) -> tuple[torch.Tensor, ...]:
        errors = self._errors(named, samples)
        return (torch.linalg.vecdot(errors, errors),)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,), where f = ‖r‖²."""
        assert self.samples is not None
        (count,) = self._counts
        return self._errors(self.named(theta), self.samples) / math.sqrt(count)

    def coordinates(self, term: int) -> torch.Tensor:
        """The point x of each sample, shape (samples, 1)."""
        assert self.samples is not None
        return self._points[self.samples.terms[term] % len(self._points)]


class Antiderivative(Task):
    """The antiderivative operator on Gaussian random fields, learned by a DeepONet."""

    name = "antiderivative"

    class Config(Settings):
        """Functions, points and networks."""

        functions: int = Field(150, ge=1, description="functions that are trained on")
        points: int = Field(50, ge=1, description="points at which each is asked for")
        sensors: int = Field(50, ge=2, description="points at which each function is seen")
        length: float = Field(0.2, ge=0.05, le=0.3, description="correlation length of the fields")
        tests: int = Field(200, ge=4, description="functions that the error is taken on")
        width: Width = Field(40, description="width of all layers")
        depth: Depth = Field(2, description="layers of each of the two networks")
        activation: str = Field("tanh", description="activation function, by DeepXDE's name")

    problem: OperatorProblem

    def prepare(self, setting: Setting) -> None:
        """Draw the fields and build the networks, by the seed and nothing else."""
        c = self.config
        check_activation(c.activation)
        with building(setting.seed, setting.dtype):
            net = Operator(c.sensors, c.width, c.depth, c.activation)
        net.to(setting.device, setting.dtype)

        def tensor(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(values, dtype=setting.dtype, device=setting.device)

        random = generator(setting.seed, "antiderivative", "training")
        fields = Fields(c.functions, c.length, random)
        x = torch.rand(c.points, generator=random, dtype=torch.float64).sort().values.numpy()
        self.sensors, self.ticks = np.linspace(0.0, 1.0, c.sensors), np.linspace(0.0, 1.0, TICKS)
        first = dict(net.named_parameters())
        shapes = tuple(parameter.shape for parameter in first.values())
        layout = Layout(tuple(first), shapes, setting.dtype, setting.device)
        self.initial = torch.cat([parameter.detach().reshape(-1) for parameter in first.values()])
        sensed, points = tensor(fields.values(self.sensors)), tensor(x[:, None])
        targets = tensor(fields.integrals(x))
        self.problem = OperatorProblem(layout, net, sensed, points, targets)
        tests = generator(setting.seed, "antiderivative", "tests")
        self.tests = Fields(c.tests, c.length, tests)
        self.reference = self.tests.integrals(self.ticks)
        self._seen = tensor(self.tests.values(self.sensors)), tensor(self.ticks[:, None])

    @torch.no_grad()
    def predict(self, theta: torch.Tensor) -> np.ndarray:
        """u_θ of the test functions on the grid, shape (tests, ticks)."""
        found = self.problem.predict(self.problem.named(theta), *self._seen)
        return found.double().cpu().numpy()

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """``error``: relative L2 over all test functions together."""
        difference = self.predict(theta) - self.reference
        return {"error": float(np.linalg.norm(difference) / np.linalg.norm(self.reference))}

    def draw(self, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
        """Draw ``figure.png``: some test functions, their antiderivatives, and the errors."""
        from ddopt_pinn.operator_figure import draw

        return [draw(self, theta, metrics, folder)]

"""Small problems: closed forms, and networks of a hundred parameters."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.func import functional_call

from ddopt.evaluation.autograd import AutogradProblem, Named
from ddopt.evaluation.problem import Operator, Point, Problem, Samples
from ddopt.numerics.space import Layout, Parameters


class Quadratic(Problem):
    """f(x) = ½ xᵀ A x − bᵀ x, minimised where A x = b."""

    def __init__(self, A: torch.Tensor, b: torch.Tensor) -> None:
        self.A, self.b = A, b
        self.layout = Layout.flat(len(b), A.dtype)

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f and its gradient Ax − b."""
        g = self.A @ theta - self.b
        return Point(theta, float(0.5 * theta @ (g - self.b)), g)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ A v."""
        return lambda v: self.A @ v


def rotated_quadratic(n: int = 20, condition: float = 1e6, seed: int = 0) -> Quadratic:
    """Eigenvalues from 1 to ``condition``, evenly spread on a log scale, in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    spectrum = torch.logspace(0, torch.log10(torch.tensor(condition)).item(), n, dtype=Q.dtype)
    return Quadratic(Q @ torch.diag(spectrum) @ Q.T, torch.zeros(n, dtype=Q.dtype))


class CurvedLeastSquares(Problem):
    """f(x) = ‖r‖² with r = z − t + ½ c z², z = A x; linear for c = 0, A and t given."""

    def __init__(self, A: torch.Tensor, t: torch.Tensor, bend: float = 0.6) -> None:
        self.A, self.t, self.bend = A, t, bend
        self.layout = Layout.flat(A.shape[1], A.dtype)

    @classmethod
    def random(
        cls, rows: int, columns: int, bend: float = 0.6, seed: int = 0
    ) -> CurvedLeastSquares:
        """With a matrix and a target of normal numbers."""
        generator = torch.Generator().manual_seed(seed)
        A = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
        return cls(A, torch.randn(rows, generator=generator, dtype=torch.float64), bend)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(x), shape (rows,)."""
        z = self.A @ theta
        return z - self.t + 0.5 * self.bend * z * z

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate ‖r‖² and 2 Jᵀr."""
        z = self.A @ theta
        r = z - self.t + 0.5 * self.bend * z * z
        return Point(theta, float(r @ r), 2.0 * self.A.T @ (r * (1.0 + self.bend * z)))


def network(
    width: int = 8, depth: int = 2, inputs: int = 3, outputs: int = 1, seed: int = 0
) -> nn.Module:
    """A tanh network in float64, the same for one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = [inputs, *[width] * depth, outputs]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(sizes)):
            layers += [nn.Linear(a, b)] + ([nn.Tanh()] if i < depth else [])
        return nn.Sequential(*layers).double()


def regression(samples: int = 37, seed: int = 0) -> tuple[AutogradProblem, torch.Tensor]:
    """Least squares with a network of 113 parameters; 37 samples, so parts are unequal."""
    model = network(seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    x = torch.randn(samples, 3, generator=generator, dtype=torch.float64)
    t = torch.sin(x.sum(dim=1, keepdim=True)) + x[:, :1] ** 2

    def sums(named: Named, picked: Samples) -> tuple[torch.Tensor, ...]:
        index = picked.terms[0]
        return (((functional_call(model, dict(named), (x[index],)) - t[index]) ** 2).sum(),)

    parameters = Parameters(model.named_parameters())
    problem = AutogradProblem(parameters.layout, sums, Samples.all(samples))
    return problem, parameters.read()


def classification(
    samples: int = 60, seed: int = 0
) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A classifier of three clouds: model, inputs, labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 3
    centres = torch.tensor([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]], dtype=torch.float64)
    noise = torch.randn(samples, 2, generator=generator, dtype=torch.float64)
    return network(inputs=2, outputs=3, seed=seed), centres[labels] + noise, labels

"""Kronecker-factored curvature in a trust region: ``hessian = "kfac"``.

For each linear layer y = W x + b the block of the Fisher matrix is taken to be A ⊗ G,

    A = (1/m) Σ x̃ x̃ᵀ,   G = m Σ δ δᵀ,   x̃ = (x, 1),   δ = ∂f/∂y of one of m rows

(Martens and Grosse, ICML 2015; δ with the labels at hand: the empirical Fisher matrix). A and G
are diagonalised, which diagonalises A ⊗ G: the model is minimised exactly in the ball, and the ball
is the only damping. One number c is learnt from the last step, so that sᵀ(cB)s = sᵀy.
Parameters of other layers have no curvature here.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field

import ddopt


@dataclass(frozen=True)
class Block:
    """The eigenvectors of A (columns of U) and of G (columns of V), and all products λ."""

    weight: slice
    bias: slice | None
    U: torch.Tensor  # (in, in), or one more with a bias
    V: torch.Tensor  # (out, out)
    values: torch.Tensor  # λ, shape (out, in)

    def gathered(self, vector: torch.Tensor) -> torch.Tensor:
        """The layer's part of a vector (n,) as a matrix (out, in)."""
        out = len(self.V)
        W = vector[self.weight].view(out, -1)
        return W if self.bias is None else torch.cat([W, vector[self.bias, None]], dim=1)

    def scattered(self, matrix: torch.Tensor, vector: torch.Tensor) -> None:
        """Put a matrix (out, in) where it belongs in a vector (n,)."""
        if self.bias is not None:
            vector[self.bias] = matrix[:, -1]
            matrix = matrix[:, :-1]
        vector[self.weight] = matrix.reshape(-1)


class Kronecker(ddopt.Diagonalised):
    """m(p) = <g, p> + ½ c <p, B p>, diagonal in the eigenvectors of all blocks."""

    def __init__(self, gradient: torch.Tensor, blocks: list[Block], scale: float) -> None:
        self.gradient, self.blocks, self.scale = gradient, blocks, scale

    def _there(self, vector: torch.Tensor) -> torch.Tensor:
        """The coordinates of a vector (n,) in the eigenvectors; what is in no block stays."""
        found = vector.clone()
        for block in self.blocks:
            block.scattered(block.V.T @ block.gathered(vector) @ block.U, found)
        return found

    def _back(self, coordinates: torch.Tensor) -> torch.Tensor:
        found = coordinates.clone()
        for block in self.blocks:
            block.scattered(block.V @ block.gathered(coordinates) @ block.U.T, found)
        return found

    @property
    def _values(self) -> torch.Tensor:
        values = torch.zeros_like(self.gradient)
        for block in self.blocks:
            block.scattered(self.scale * block.values, values)
        return values

    def mv(self, vector: torch.Tensor) -> torch.Tensor:
        """c B v, shape (n,)."""
        return self._back(self._values * self._there(vector))

    def minimise(self, radius: float) -> tuple[torch.Tensor, ddopt.BallMinimum]:
        """The minimiser in ‖p‖ <= radius, shape (n,)."""
        values, slopes = (
            v.double().cpu().numpy() for v in (self._values, self._there(self.gradient))
        )
        found = ddopt.minimise_in_ball(values, slopes, radius)
        return self._back(torch.from_numpy(found.coordinates).to(self.gradient)), found


class KFAC(ddopt.Hessian):
    """Kronecker-factored curvature."""

    name = "kfac"

    class Config(ddopt.Settings):
        period: int = Field(1, ge=1, description="models that are made with the same factors")

    def __init__(self, config=None, **options):
        super().__init__(config, **options)
        self.reset()

    def reset(self) -> None:
        self.blocks, self.scale, self.made = [], 1.0, 0

    def model(self, problem: ddopt.Problem, point: ddopt.Point) -> Kronecker:
        if self.made % self.config.period == 0:
            layered = problem.ability(ddopt.LayeredProblem)
            if layered is None:
                raise ValueError(
                    "hessian 'kfac' needs a problem whose linear layers can be looked at (a "
                    f"ddopt.LayeredProblem), and {problem.called} is none; choose 'quasi_newton'"
                )
            self.blocks = factors(layered, point.theta)
        self.made += 1
        return Kronecker(point.gradient, self.blocks, self.scale)

    def update(self, s: torch.Tensor, y: torch.Tensor) -> None:
        """The length of B: sᵀ(cB)s = sᵀy for the last step where f bends up along it."""
        bend, along = float(s @ y), float(s @ Kronecker(y, self.blocks, 1.0).mv(s))
        if bend > 0.0 and along > 0.0:
            self.scale = bend / along

    def state_dict(self) -> dict:
        kept = [
            [
                [b.weight.start, b.weight.stop],
                b.bias and [b.bias.start, b.bias.stop],
                b.U,
                b.V,
                b.values,
            ]
            for b in self.blocks
        ]
        return {"blocks": kept, "scale": self.scale, "made": self.made}

    def load_state_dict(self, state: dict) -> None:
        self.blocks = [
            Block(slice(*weight), bias and slice(*bias), U, V, values)
            for weight, bias, U, V, values in state["blocks"]
        ]
        self.scale, self.made = state["scale"], state["made"]


def factors(problem: ddopt.LayeredProblem, theta: torch.Tensor) -> list[Block]:
    """A and G of every layer, diagonalised."""
    sums: dict[tuple, list] = {}
    for layers in problem.layers(theta):
        for one in layers:
            x, delta = one.inputs, one.gradients
            if one.bias is not None:
                x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
            key = (one.weight.start, one.weight.stop, one.bias and (one.bias.start, one.bias.stop))
            new = [x.T @ x, delta.T @ delta, len(x)]
            sums[key] = [a + b for a, b in zip(sums[key], new, strict=True)] if key in sums else new
    blocks = []
    for (start, stop, bias), (inputs, outputs, rows) in sums.items():
        a, U = torch.linalg.eigh(inputs / rows)
        g, V = torch.linalg.eigh(outputs * rows)
        values = torch.outer(g.clamp_min(0.0), a.clamp_min(0.0))
        blocks.append(Block(slice(start, stop), bias and slice(*bias), U, V, values))
    return blocks


@ddopt.hookimpl
def ddopt_register(register):
    register(KFAC)

"""Problems given by a closure that returns residuals: compute them, and no backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ddopt.closure import Stillness, take
from ddopt.jacobian import Operator, by_rows
from ddopt.problem import Point, Problem, Samples
from ddopt.space import Parameters

Residuals = Callable[..., torch.Tensor]


class ResidualProblem(Problem):
    """f(θ) = (1/m) Σ_i r_i(θ)², the mean of squares of what the closure returns.

    The closure computes the residuals at the module's parameters as a tensor of any shape and
    returns it, with its graph; it calls no backward. With a batch it is called as ``closure(part)``
    and f is a mean over the residuals of the part. In f of the whole batch every sample counts
    alike. The residuals that the solvers see are r/√m, so that f = ‖·‖².
    """

    def __init__(
        self,
        parameters: Parameters,
        closure: Residuals,
        stillness: Stillness,
        batch: Any = None,
        samples: Samples | None = None,
        weight: float = 1.0,
        cost: float = 1.0,
    ) -> None:
        self.layout = parameters.layout
        self.samples, self.cost = samples, cost
        self._parameters, self._closure, self._stillness = parameters, closure, stillness
        self._batch, self._weight = batch, weight

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f; the closure runs again where the gradient is asked for.

        A graph over the module's parameters cannot be kept: the next point is written into them.
        """
        r = self.residuals(theta)
        return Point(theta, float(torch.dot(r, r)), lambda: self._gradient(theta))

    def both(self, theta: torch.Tensor) -> Point:
        """Evaluate f and its gradient in one run of the closure."""
        r = self._with_graph(theta)
        value = torch.dot(r, r)
        gradient = self._flat(torch.autograd.grad(value, self._leaves, allow_unused=True))
        return Point(theta, float(value.detach()), gradient)

    def _gradient(self, theta: torch.Tensor) -> torch.Tensor:
        return self.both(theta).gradient

    @property
    def _leaves(self) -> list[torch.Tensor]:
        return self._parameters.tensors

    def _flat(self, pieces: Any) -> torch.Tensor:
        return self._parameters.flatten(list(pieces))

    def _with_graph(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ)/√m, shape (m,), differentiable by the module's parameters.

        Raises ``ValueError`` where the closure returns a loss, or nothing that can be a residual.
        """
        self._parameters.write(theta)
        with self._stillness, torch.enable_grad():
            if self.samples is None:
                found = self._closure()
            else:
                found = self._closure(take(self._batch, self.samples.terms[0]))
        if not isinstance(found, torch.Tensor) or found.ndim == 0 or not found.requires_grad:
            raise ValueError(
                f"the closure returned {_described(found)}; hessian 'gauss_newton' and solver "
                "'levenberg_marquardt' need the residuals: a tensor of one dimension or more that "
                "depends on the parameters, with its graph and without backward; f is the mean of "
                "its squares"
            )
        r = found.reshape(-1).to(self.layout.dtype)
        return r * (self._weight / max(len(r), 1)) ** 0.5

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ)/√m, shape (m,), detached: the graph ends at the module's parameters, not at θ."""
        return self._with_graph(theta).detach()

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), by batched backward passes."""
        r = self._with_graph(theta)
        return by_rows(r, self._leaves).to(dtype or self.layout.dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J v and w ↦ Jᵀw; valid until the next point is evaluated."""
        r = self._with_graph(theta)
        dual = torch.zeros_like(r).requires_grad_()
        options = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
        pulled = torch.autograd.grad(r, self._leaves, dual, **options)

        def product(v: torch.Tensor) -> torch.Tensor:
            along = self._parameters.pieces(v)
            pairs = [(p, a) for p, a in zip(pulled, along, strict=True) if p.requires_grad]
            outputs, cotangents = zip(*pairs, strict=True)
            return torch.autograd.grad(outputs, dual, cotangents, retain_graph=True)[0]

        def pullback(w: torch.Tensor) -> torch.Tensor:
            return self._flat(
                torch.autograd.grad(r, self._leaves, w, retain_graph=True, allow_unused=True)
            )

        return product, pullback

    def part(self, samples: Samples) -> ResidualProblem:
        """The mean of squares over a part of the batch."""
        return self._over(samples, 1.0)

    def share(self, samples: Samples) -> ResidualProblem:
        """The part's mean of squares, weighted by its share of the batch."""
        assert self.samples is not None
        return self._over(samples, self._weight * len(samples) / len(self.samples))

    def _over(self, samples: Samples, weight: float) -> ResidualProblem:
        assert self.samples is not None
        return ResidualProblem(
            self._parameters,
            self._closure,
            self._stillness,
            self._batch,
            samples,
            weight,
            self.cost * len(samples) / len(self.samples),
        )


def _described(found: Any) -> str:
    if not isinstance(found, torch.Tensor):
        return "None" if found is None else type(found).__name__
    if found.ndim == 0:
        return "a single number"
    return f"a tensor of shape {tuple(found.shape)} without a graph"

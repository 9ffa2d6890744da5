"""Problems whose loss is a PyTorch expression of named parameters and some samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace

import torch

from ddopt.problem import Frozen, Operator, Point, Problem, Samples
from ddopt.space import Indices, Layout

Named = Mapping[str, torch.Tensor]
TermSums = Callable[[Named, Samples], tuple[torch.Tensor, ...]]


@dataclass(frozen=True)
class _Held:
    """Parameters that do not move: the indices that do, and the values of all."""

    moving: list[int]
    theta: torch.Tensor


class AutogradProblem(Problem):
    """f(θ) = Σ_t (1/m_t) Σ_{i ∈ D_t} ℓ_{t,i}(θ), one mean per term t of the loss.

    ``sums(parameters, samples)`` returns, for each term, the *sum* of the losses of its samples as
    a 0-d tensor; it is a pure function of the named parameters (``torch.func.functional_call``), so
    several points can be alive at once and a gradient can be asked for later. ``counts`` are the
    m_t; by default the number of samples, so that each term is a mean.
    """

    def __init__(
        self,
        layout: Layout,
        sums: TermSums,
        samples: Samples,
        counts: tuple[int, ...] | None = None,
        cost: float = 1.0,
    ) -> None:
        self.layout, self.samples, self.cost = layout, samples, cost
        self._sums = sums
        self._counts = counts or samples.counts
        self._held: _Held | None = None
        self._full_layout = layout

    def loss(self, theta: torch.Tensor) -> torch.Tensor:
        """f(θ) as a 0-d tensor that can be differentiated with respect to ``theta`` (n,)."""
        assert self.samples is not None
        sums = self._sums(self.named(theta), self.samples)
        terms = [term / count for term, count in zip(sums, self._counts, strict=True) if count]
        return torch.stack(terms).sum() if len(terms) > 1 else terms[0]

    def named(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every parameter of the module by its name, as views of ``theta`` (n,) where it moves."""
        layout = self._full_layout
        held = self._held
        moving = range(len(layout.names)) if held is None else held.moving
        sizes = [layout.sizes[i] for i in moving]
        parts = dict(zip(moving, torch.split(theta, sizes), strict=True))
        if held is not None:
            rest = torch.split(held.theta, layout.sizes)
            parts = {i: parts.get(i, rest[i]) for i in range(len(rest))}
        return {
            name: parts[i].view(shape)
            for i, (name, shape) in enumerate(zip(layout.names, layout.shapes, strict=True))
        }

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f; the graph is kept until the gradient is taken or the point is dropped."""
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            loss = self.loss(leaf)
        value = float(loss.detach())
        return Point(theta, value, lambda: torch.autograd.grad(loss, leaf)[0])

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v by differentiating <∇f, v>; the graph of ∇f is built once."""
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.loss(leaf), leaf, create_graph=True)
        return lambda v: torch.autograd.grad(gradient, leaf, v, retain_graph=True)[0]

    def part(self, samples: Samples) -> AutogradProblem:
        """The same loss as means over ``samples``; its cost is in proportion."""
        return self._over(samples, samples.counts)

    def share(self, samples: Samples) -> AutogradProblem:
        """The contribution of ``samples`` to the means over all of D."""
        return self._over(samples, self._counts)

    def _over(self, samples: Samples, counts: tuple[int, ...]) -> AutogradProblem:
        assert self.samples is not None
        other = copy(self)
        other.samples, other._counts = samples, counts
        other.cost = self.cost * len(samples) / len(self.samples)
        return other

    def frozen(self, theta: torch.Tensor, indices: Indices) -> Problem:
        """Differentiate the parameters in ``indices`` only, where they are whole tensors."""
        if indices is None:
            return self
        moving = self.layout.whole(indices) if self._held is None else None
        if moving is None:
            return Frozen(self, theta, indices)
        other = copy(self)
        other.layout = replace(
            self.layout,
            names=tuple(self.layout.names[i] for i in moving),
            shapes=tuple(self.layout.shapes[i] for i in moving),
        )
        other._held = _Held(moving, theta.detach())
        return other

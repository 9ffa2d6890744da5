"""Problems whose loss is a PyTorch expression of named parameters and some samples."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ddopt.evaluation.outputs import Outputs, generalised
from ddopt.evaluation.problem import Operator, Point, Problem, Samples
from ddopt.numerics.reading import Later
from ddopt.numerics.space import Indices, Layout
from ddopt.numerics.vectors import total

Named = Mapping[str, torch.Tensor]
TermSums = Callable[[Named, Samples], tuple[torch.Tensor, ...]]
Redraw = Callable[[int], TermSums]


@dataclass(frozen=True)
class _Held:
    """Parameters that do not move: the indices that do, and the values of all."""

    moving: list[int]
    theta: torch.Tensor


def _summed(sums: Any, count: int) -> bool:
    """Whether it is one real number for each of ``count`` terms of a loss, as tensors."""
    right = isinstance(sums, (tuple, list)) and len(sums) == count
    return right and all(
        isinstance(one, torch.Tensor) and one.dim() == 0 and one.is_floating_point() for one in sums
    )


def _not_summed(sums: Any, count: int) -> str:
    """The sentence about what is returned instead."""
    items = list(sums) if isinstance(sums, (tuple, list)) else [sums]
    shown = ", ".join(
        f"{one.dtype} of shape {tuple(one.shape)}"
        if isinstance(one, torch.Tensor)
        else type(one).__name__
        for one in items[:4]
    )
    kind = type(sums).__name__ if isinstance(sums, (tuple, list)) else "no tuple"
    return (
        "the function of the loss must return a tuple with the sum over the samples, a 0-d tensor "
        f"of real numbers, for each of its {count} term(s); it returned a {kind} ({shown})".replace(
            "a no tuple", "no tuple"
        )
    )


def _gradient(loss: torch.Tensor, leaf: torch.Tensor) -> torch.Tensor:
    """∂loss/∂leaf, (n,); raises ``ValueError`` where the one does not depend on the other."""
    found = None
    if loss.requires_grad:
        (found,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    if found is None:
        raise ValueError(
            "the loss does not depend on the parameters that its function is given by name: compute"
            " with them, by torch.func.functional_call(module, dict(named), inputs), and neither "
            "with the module's own nor with detached ones"
        )
    return found


class AutogradProblem(Problem):
    """f(θ) = Σ_t (1/m_t) Σ_{i ∈ D_t} ℓ_{t,i}(θ), one mean per term t of the loss.

    ``sums(parameters, samples)`` returns, for each term, the *sum* of the losses of its samples as
    a 0-d tensor; it is a pure function of the named parameters (``torch.func.functional_call``), so
    several points can be alive at once and a gradient can be asked for later. ``counts`` are the
    m_t; by default the number of samples, so that each term is a mean.

    ``chunk`` is the number of samples of one pass through the network. More samples than that are
    added up chunk by chunk, in order: the memory is that of one chunk. No graph is kept for later,
    so the gradient is taken with the value, in one pass, whether it will be asked for or not.

    ``outputs(draw)`` gives the network's scores, where the loss is the cross-entropy of their
    softmax: f then has a generalised Gauss-Newton matrix.
    """

    def __init__(
        self,
        layout: Layout,
        sums: TermSums,
        samples: Samples,
        counts: tuple[float, ...] | None = None,
        cost: float = 1.0,
        chunk: int | None = None,
        redraw: Redraw | None = None,
        outputs: Callable[[int | None], Outputs] | None = None,
    ) -> None:
        self.layout, self.samples, self.cost = layout, samples, cost
        self.chunk = chunk
        self._sums = sums
        self._redraw = redraw  # draw -> sums, where they depend on random numbers
        self._outputs = outputs
        self._number: int | None = None  # the draw
        self.convex = outputs is not None
        self._counts = counts or samples.counts
        self._held: _Held | None = None
        self.located: Callable[[int], torch.Tensor] | None = None  # of a term's samples; see below
        self._full_layout = layout

    def _but(self, **changes: Any) -> AutogradProblem:
        """The same problem with some attributes changed."""
        other = copy(self)
        other.__dict__.pop("_pieces", None)
        other.__dict__.update(changes)
        return other

    def loss(self, theta: torch.Tensor) -> torch.Tensor:
        """f(θ) as a 0-d tensor that can be differentiated with respect to ``theta`` (n,)."""
        assert self.samples is not None
        sums = self._sums(self.named(theta), self.samples)
        if not _summed(sums, len(self._counts)):
            raise ValueError(_not_summed(sums, len(self._counts)))
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

    @cached_property
    def _pieces(self) -> list[AutogradProblem]:
        """The shares of the chunks, in order; the problem itself if it is small enough."""
        assert self.samples is not None
        if self.chunk is None or len(self.samples) <= self.chunk:
            return [self]
        return [self.share(piece) for piece in self.samples.chunks(self.chunk)]

    @property
    def chunked(self) -> bool:
        """Whether its samples are more than one pass takes."""
        return len(self._pieces) > 1

    @property
    def origin(self) -> Hashable:
        """What its loss is computed by; the same for all parts, shares and restrictions of it."""
        return self._redraw or self._sums

    @property
    def kind(self) -> Hashable:
        """What evaluations have in common that differ in θ and in which samples they see."""
        held = self._held
        fixed = None if held is None else (tuple(held.moving), held.theta.data_ptr())
        counts = self.samples.counts if self.samples is not None else None
        return self._sums, self._full_layout.names, counts, self._counts, fixed

    def over(self, samples: Samples) -> AutogradProblem:
        """The same formula, with the same divisors, on as many other samples."""
        return self._but(samples=samples)

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f; the graph is kept until the gradient is taken or the point is dropped.

        With several chunks the gradient is there at once: more than half of all trials are
        accepted, and for those it would cost a second pass.
        """
        if len(self._pieces) > 1:
            return self._accumulated(theta)
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            loss = self.loss(leaf)
        value, epsilon = Later(loss), torch.finfo(loss.dtype).eps
        return Point(theta, value, lambda: _gradient(loss, leaf), epsilon)

    def _accumulated(self, theta: torch.Tensor) -> Point:
        """Evaluate f and its gradient in one pass over the chunks."""
        values: list[float] = []
        epsilon = 0.0

        def gradients() -> Iterator[torch.Tensor]:
            nonlocal epsilon
            for piece in self._pieces:
                point = piece.at(theta)
                values.append(point.value)
                epsilon = max(epsilon, point.epsilon)
                yield point.gradient

        gradient = _total(gradients())
        return Point(theta, total(values), gradient, epsilon)

    @property
    def graph_anew(self) -> bool:  # type: ignore[override]
        """With several chunks, whose graphs of ∇f are not kept."""
        return len(self._pieces) > 1

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v by differentiating <∇f, v>; the graph of ∇f is built once.

        With several chunks it is built for each of them again, for each v (``graph_anew``).
        """
        pieces = self._pieces
        if len(pieces) > 1:
            return lambda v: _total(piece.curvature(theta)(v) for piece in pieces)
        # The fused kernels of scaled dot-product attention have no second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            leaf = theta.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.loss(leaf), leaf, create_graph=True)
        return lambda v: torch.autograd.grad(gradient, leaf, v, retain_graph=True)[0]

    def generalised(self, theta: torch.Tensor) -> Operator:
        """v ↦ G v, from the graph of the scores, in chunks as ``curvature``."""
        if self._outputs is None:
            return super().generalised(theta)
        pieces = self._pieces
        if len(pieces) > 1:
            return lambda v: _total(piece.generalised(theta)(v) for piece in pieces)
        assert self.samples is not None
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            leaf = theta.detach().requires_grad_()
            scores = self._outputs(self._number)(self.named(leaf), self.samples)
            return generalised(scores, leaf, self._counts[0])

    def part(self, samples: Samples) -> AutogradProblem:
        """The same loss as means over ``samples``, every term with the weight that it has here."""
        assert self.samples is not None
        counts = zip(self._counts, samples.counts, self.samples.counts, strict=True)
        return self._over(samples, tuple(c * m / n if n else 0 for c, m, n in counts))

    def share(self, samples: Samples) -> AutogradProblem:
        """The contribution of ``samples`` to the means over all of D."""
        return self._over(samples, self._counts)

    def coordinates(self, term: int) -> torch.Tensor:
        """Where all samples of a term lie, (samples, dimensions); ``located(term)`` says it."""
        return super().coordinates(term) if self.located is None else self.located(term)

    def _over(self, samples: Samples, counts: tuple[float, ...]) -> AutogradProblem:
        assert self.samples is not None
        cost = self.cost * len(samples) / len(self.samples)
        return self._but(samples=samples, _counts=counts, cost=cost, extra=None)

    def sources(self) -> list[Any]:
        """What the sums are made from."""
        return [self._sums, self._redraw]

    def drawn(self, number: int) -> AutogradProblem:
        """The same samples with random numbers of their own; ``redraw`` knows which."""
        if self._redraw is None:
            return self
        return self._but(_sums=self._redraw(number), _number=number, draw=number + 1)

    def frozen(self, point: Point, indices: Indices) -> AutogradProblem | None:
        """Differentiate the parameters in ``indices`` only, where they are whole tensors."""
        if indices is None or self._held is not None:
            return None
        moving = self.layout.whole(indices)
        if moving is None:
            return None
        restricted = replace(
            self.layout,
            names=tuple(self.layout.names[i] for i in moving),
            shapes=tuple(self.layout.shapes[i] for i in moving),
        )
        held = _Held(moving, point.theta.detach())
        return self._but(layout=restricted, _held=held, extra=None)


def _total(vectors: Iterator[torch.Tensor]) -> torch.Tensor:
    """The sum of vectors (n,) in their order, two of them alive at a time."""
    total = next(vectors).clone()
    for vector in vectors:
        total += vector
    return total

"""Problems: what is minimised. f(θ; D), its gradient, and its parts over some of the samples.

Legend: θ (n,) parameters; D the samples; D_d ⊆ D; C_d the parameters a subdomain may move;
f̃_d the first-order consistent objective of subdomain d.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ddopt.space import Indices, Layout, prolong, restrict
from ddopt.vectors import LOCAL, Geometry, fingerprint

Operator = Callable[[torch.Tensor], torch.Tensor]
JACOBIAN_ROWS = 128  # residuals differentiated at once; bounds the memory of a Jacobian


class Point:
    """A visited θ with f(θ), and with ∇f(θ) from the moment somebody asks for it.

    A rejected trial is decided on its value alone, so its gradient need never be computed, nor
    travel between processes.

    Args:
        theta: θ, shape (n,).
        value: f(θ).
        gradient: ∇f(θ), shape (n,), or what computes it.
        epsilon: relative round-off of the value, that of the number type in which the loss came;
            where it is not given, that of ``theta``.
        trace: what the evaluation left in a module's buffers and in the random state; only
            closures leave anything.
    """

    def __init__(
        self,
        theta: torch.Tensor,
        value: float,
        gradient: torch.Tensor | Callable[[], torch.Tensor],
        epsilon: float | None = None,
        trace: list[torch.Tensor] | None = None,
    ) -> None:
        self.theta = theta  # shape: (n,)
        self.value = value
        self._gradient = gradient
        self.epsilon = torch.finfo(theta.dtype).eps if epsilon is None else epsilon
        self.trace = trace
        self._sound: bool | None = None  # once it has been asked for

    @property
    def gradient(self) -> torch.Tensor:
        """∇f(θ), shape (n,)."""
        if not isinstance(self._gradient, torch.Tensor):
            self._gradient = self._gradient()
        return self._gradient

    def sound(self, geometry: Geometry = LOCAL) -> bool:
        """Whether f and ∇f are finite here, so that a step can lead on; asks for the gradient.

        In stages or pieces it is a collective, with one answer for all processes.
        """
        if self._sound is None:
            self._sound = math.isfinite(self.value) and geometry.finite(self.gradient)
        return self._sound

    def seen(
        self,
        theta: torch.Tensor,
        value: float,
        gradient: torch.Tensor | Callable[[], torch.Tensor],
    ) -> Point:
        """The same evaluation as a wrapper sees it: other vectors, another value, one round-off."""
        return Point(theta, value, gradient, self.epsilon, self.trace)


@dataclass(frozen=True)
class Samples:
    """A set of samples: one index tensor per term of the loss.

    A classifier has one term; a physics-informed loss has one for the interior points and one for
    each boundary condition, each a mean over its own points.
    """

    terms: tuple[torch.Tensor, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of samples of each term."""
        return tuple(len(term) for term in self.terms)

    def __len__(self) -> int:
        """The number of samples of all terms together."""
        return sum(self.counts)

    def chunks(self, size: int) -> list[Samples]:
        """Consecutive pieces of about ``size`` samples, each with its share of every term."""
        pieces = -(-len(self) // size)
        return [
            Samples(
                tuple(
                    term[i * len(term) // pieces : (i + 1) * len(term) // pieces]
                    for term in self.terms
                )
            )
            for i in range(pieces)
        ]

    @classmethod
    def all(cls, *counts: int) -> Samples:
        """Every sample of terms with that many samples."""
        return cls(tuple(torch.arange(count) for count in counts))


class Problem(ABC):
    """A differentiable f on vectors of one layout.

    Only ``at`` must be written. What else a problem can do decides what can be done with it: a data
    decomposition needs ``part``, exact curvature ``curvature``, Gauss-Newton ``residuals``.
    """

    layout: Layout
    samples: Samples | None = None  # D, where f is a mean over samples
    cost: float = 1.0  # of one evaluation, in full gradients of the problem that is solved
    geometry: Geometry = LOCAL  # inner products; over processes where each holds a piece
    draw: int = 0  # which samples and random numbers were drawn; one draw is one function
    extra: Problem | None = None  # the loss on independent samples that test its steps
    additive: bool = True  # whether shares add up to f however they are cut, but for round-off
    vouches: bool = False  # whether its value is nan wherever its gradient is not finite
    tilt: torch.Tensor | None = None  # t (n,), where f = ‖r‖² + <t, θ − θ_0> for some θ_0

    @abstractmethod
    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f at ``theta`` (n,)."""

    def both(self, theta: torch.Tensor) -> Point:
        """Evaluate f where ∇f will surely be asked for: the bits of ``at``, maybe at less cost."""
        return self.at(theta)

    @property
    def alone(self) -> Problem:
        """The same f, evaluated by each process by itself, at points of its own."""
        return self

    def part(self, samples: Samples) -> Problem:
        """f_d: the same loss as a mean over ``samples`` ⊆ D."""
        raise self._missing("be evaluated on parts of its samples", "part")

    def share(self, samples: Samples) -> Problem:
        """The contribution of ``samples`` to f: over a partition of D the shares add up to f."""
        raise self._missing("be split into shares of its samples", "share")

    def drawn(self, number: int) -> Problem:
        """f with its random numbers (augmentation, dropout) drawn for the ``number``-th time.

        The problem itself, where nothing in it is random.
        """
        return self

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the samples of a term lie in space (and time), shape (samples, dimensions)."""
        raise self._missing("say where its samples lie", "coordinates")

    def frozen(self, point: Point, indices: Indices) -> Problem:
        """f as a function of the parameters in ``indices`` alone, the others held at ``point``."""
        return self if indices is None else Frozen(self, point.theta, indices)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v, from (n,) to (n,), at one ``theta`` for many v."""
        raise self._missing("multiply with its Hessian", "curvature")

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,), where f = ‖r‖²; differentiable when ``theta`` requires a gradient.

        A linear term of f beside the squares is the problem's ``tilt``.
        """
        raise self._missing("give its residuals", "residuals")

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """J = ∂r/∂θ at ``theta`` (n,), shape (m, n), contiguous, detached.

        ``dtype`` is that of the answer; by default that of ``theta``. A Gauss-Newton solver asks
        for float32 while a step needs no more digits, and for that of ``theta`` later; residuals
        are always asked for in that of ``theta``. A problem that can differentiate in float32 does
        so, at half the time and memory; another one converts what it has found.
        Entries that are not finite are left as they are: the solver then rejects the step.

        Here by backward passes over chunks of residuals, for any problem.
        """
        found = torch.func.jacrev(self.residuals, chunk_size=JACOBIAN_ROWS)(theta.detach())
        return found.to(dtype or theta.dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J v, from (n,) to (m,), and w ↦ Jᵀw, from (m,) to (n,), at one ``theta``.

        For networks whose Jacobian does not fit in memory. Here the graph of r is built once and
        each product is a backward pass: Jᵀw is linear in w, and Jv the gradient of <Jᵀw, v> by w.
        """
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            r = self.residuals(leaf)
            dual = torch.zeros_like(r).requires_grad_()
            (pulled,) = torch.autograd.grad(r, leaf, dual, create_graph=True)
        return (
            lambda v: torch.autograd.grad(pulled, dual, v, retain_graph=True)[0],
            lambda w: torch.autograd.grad(r, leaf, w, retain_graph=True)[0],
        )

    def stages(self) -> list[slice]:
        """Where each stage of a pipeline lies in a vector; empty for another process's stage."""
        raise self._missing("be cut into stages", "stages")

    def facts(self, theta: torch.Tensor) -> dict[str, str]:
        """What every process of a run must have been given alike, with θ_0 = ``theta``."""
        names = zip(self.layout.names, map(tuple, self.layout.shapes), strict=True)
        return {
            "parameters": f"{self.layout.dtype} " + ", ".join(f"{n} {s}" for n, s in names),
            "initial values": fingerprint(theta),
            "sample counts": str(self.samples.counts if self.samples else "none"),
        }

    def _missing(self, ability: str, method: str) -> ValueError:
        return ValueError(
            f"{type(self).__name__} cannot {ability}; it would need a method {method!r}. "
            "Choose a strategy or a Hessian approximation that does without, or add the method"
        )


class Blank(Problem):
    """A problem of which only the layout is known; good for finding out who moves what."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.samples = Samples.all(1 << 20)

    def at(self, theta: torch.Tensor) -> Point:
        """Never called."""
        raise AssertionError("a blank problem has no values")

    def stages(self) -> list[slice]:
        """There are none: asked for where a method of a pipeline was given a closure."""
        raise ValueError(
            "a closure evaluates the whole network at once and cannot be cut into stages; choose "
            "variant 'P', which decomposes layers, or a run file with strategy = 'sapts_ip'"
        )


class Frozen(Problem):
    """f restricted to the parameters in C, the others held at θ_k; works for every problem."""

    def __init__(self, problem: Problem, theta: torch.Tensor, indices: Indices) -> None:
        self.problem, self.theta, self.indices = problem, theta, indices
        self.layout = problem.layout.restricted(indices)
        self.samples, self.cost = problem.samples, problem.cost
        self.tilt = None if problem.tilt is None else restrict(problem.tilt, indices)

    def _full(self, part: torch.Tensor) -> torch.Tensor:
        theta = self.theta.clone()
        theta[self.indices] = part
        return theta

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate at the restricted ``theta`` (|C|,)."""
        return self._restricted(theta, self.problem.at(self._full(theta)))

    def both(self, theta: torch.Tensor) -> Point:
        """The same, where the gradient will be asked for."""
        return self._restricted(theta, self.problem.both(self._full(theta)))

    def _restricted(self, theta: torch.Tensor, point: Point) -> Point:
        return point.seen(theta, point.value, lambda: restrict(point.gradient, self.indices))

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """Those of f, shape (m,)."""
        return self.problem.residuals(self._full(theta))

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The columns of J that belong to C, shape (m, |C|)."""
        return self.problem.jacobian(self._full(theta), dtype)[:, self.indices]

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J Rᵀ v and w ↦ R Jᵀw."""
        product, pullback = self.problem.differential(self._full(theta))
        n = self.problem.layout.size
        return (
            lambda v: product(prolong(v, self.indices, n)),
            lambda w: restrict(pullback(w), self.indices),
        )

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ R ∇²f Rᵀ v."""
        full, n = self.problem.curvature(self._full(theta)), self.problem.layout.size
        return lambda v: restrict(full(prolong(v, self.indices, n)), self.indices)


class Consistent(Problem):
    """f̃(θ) = f_d(θ) + <r, θ − θ_0>, so that ∇f̃(θ_0) is the restricted global gradient.

    ``wanted`` is R_d g_k, shape (n_d,). Source: arXiv 2502.05133, equations 3 and 4. The value and
    the gradient carry the same term; a local solver never knows that it is local.
    """

    def __init__(self, problem: Problem, origin: Point, wanted: torch.Tensor) -> None:
        self.problem, self.origin = problem, origin
        self.residual = wanted - origin.gradient  # r_d, shape (n_d,)
        below = problem.tilt
        self.tilt = self.residual if below is None else self.residual + below
        self.layout, self.samples, self.cost = problem.layout, problem.samples, problem.cost
        self.start = origin.seen(origin.theta, origin.value, wanted)
        self.geometry = problem.geometry

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f̃ at ``theta`` (n_d,)."""
        return self._tilted(theta, self.problem.at(theta))

    def both(self, theta: torch.Tensor) -> Point:
        """The same, where the gradient will be asked for."""
        return self._tilted(theta, self.problem.both(theta))

    def _tilted(self, theta: torch.Tensor, point: Point) -> Point:
        tilt = self.geometry.dot(self.residual, theta - self.origin.theta)
        return point.seen(theta, point.value + tilt, lambda: point.gradient + self.residual)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """The linear term has no curvature."""
        return self.problem.curvature(theta)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """Those of f_d: the linear term has none."""
        return self.problem.residuals(theta)

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """That of f_d's residuals."""
        return self.problem.jacobian(theta, dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """That of f_d's residuals."""
        return self.problem.differential(theta)

"""Problems: what is minimised, and what stands for another problem.

Legend: θ (n,) parameters; D the samples; D_d ⊆ D; C_d the parameters a subdomain may move;
f̃_d the first-order consistent objective of subdomain d.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import torch

from ddopt.evaluation.captured import digest
from ddopt.evaluation.jacobian import Dense, Gramian, by_graph
from ddopt.evaluation.jacobian import Operator as Operator
from ddopt.evaluation.point import Point as Point
from ddopt.evaluation.point import Samples as Samples
from ddopt.numerics.space import Indices, Layout, prolong, restrict
from ddopt.numerics.vectors import LOCAL, Geometry, fingerprint

Kind = TypeVar("Kind", bound="Problem")
JACOBIAN_ROWS = 128  # residuals differentiated at once; bounds the memory of a Jacobian
Inside = tuple[list[tuple["Problem", torch.Tensor]], Callable[[list[Point]], Point]]


class Problem(ABC):
    """A differentiable f on vectors of one layout.

    Only ``at`` must be written. What else a problem can do decides what can be done with it: a data
    decomposition needs ``part``, exact curvature ``curvature``, Gauss-Newton ``residuals``.
    """

    layout: Layout
    samples: Samples | None = None  # D, where f is a mean over samples
    cost: float = 1.0  # of one evaluation, in full gradients of the problem that is solved
    geometry: Geometry = LOCAL  # inner products; over processes where each holds a piece
    charged: Mapping[str, float] = MappingProxyType({})  # own methods that evaluate, and prices
    draw: int = 0  # which samples and random numbers were drawn; one draw is one function
    extra: Problem | None = None  # the loss on independent samples that test its steps
    additive: bool = True  # whether shares add up to f however they are cut, but for round-off
    vouches: bool = False  # whether its value is nan wherever its gradient is not finite
    tilt: torch.Tensor | None = None  # t (n,), where f = ‖r‖² + <t, θ − θ_0> for some θ_0
    convex: bool = False  # whether it is a convex loss of outputs, and has ``generalised``
    graph_anew: bool = False  # whether each product with ∇²f builds the graph of ∇f again
    rows_anew: bool = False  # whether each product with J or Jᵀ builds the graph of r again
    jacobian_price: float | None = None  # of a whole one, in evaluations; None: by its rows

    @property
    def squares(self) -> tuple[float, float]:
        """Σ p² and max p² over the shares p in which f is evaluated: what its rows cost there."""
        return 1.0, 1.0

    @property
    def path(self) -> float:
        """The longest path of one evaluation: ``cost``, unless several processes share it."""
        return self.cost

    @abstractmethod
    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f at ``theta`` (n,)."""

    def both(self, theta: torch.Tensor) -> Point:
        """Evaluate f where ∇f will surely be asked for: the bits of ``at``, maybe at less cost."""
        return self.at(theta)

    def opened(self, theta: torch.Tensor) -> Inside | None:
        """The evaluations that ``at`` and ``both`` consist of, and the point made from theirs.

        None for a problem that evaluates by itself. Executors that answer several questions at once
        look inside wrappers and shares by it.
        """
        return None

    @property
    def alone(self) -> Problem:
        """The same f, evaluated by each process by itself, at points of its own."""
        return self

    @property
    def paid(self) -> Problem:
        """The same f where what is made once at a point is made again, after a checkpoint.

        Residuals, a Jacobian, or the graph of products have been charged then; products have not.
        """
        return self

    def part(self, samples: Samples) -> Problem:
        """f_d: the same loss as a mean over ``samples`` ⊆ D."""
        raise self._missing("be evaluated on parts of its samples", "part")

    def share(self, samples: Samples) -> Problem:
        """The contribution of ``samples`` to f: over a partition of D the shares add up to f."""
        raise self._missing("be split into shares of its samples", "share")

    def own_share(self, d: int, count: int) -> Problem | None:
        """The d-th of ``count`` shares of f, where the problem cuts itself; they add up to f.
        None, as here: the samples are dealt out, and ``share`` is asked for each deal.
        """
        return None

    def drawn(self, number: int) -> Problem:
        """f with random numbers (augmentation, dropout) of its own; itself where there are none."""
        return self

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the samples of a term lie in space (and time), shape (samples, dimensions)."""
        raise self._missing("say where its samples lie", "coordinates")

    @property
    def called(self) -> str:
        """How a message names this problem; a wrapper has the name of what is in it."""
        return type(self).__name__

    def ability(self, kind: type[Kind]) -> Kind | None:
        """This problem as a ``kind``, where it is one or stands for one; None otherwise.

        For components that go with problems of their own: what such a problem can do beside this
        class. Methods that evaluate f are named in its ``charged``, each with its price.
        """
        return self if isinstance(self, kind) else None

    def frozen(self, point: Point, indices: Indices) -> Problem:
        """f as a function of the parameters in ``indices`` alone, the others held at ``point``."""
        return self if indices is None else Frozen(self, point.theta, indices)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v, from (n,) to (n,), at one ``theta`` for many v."""
        raise self._missing("multiply with its Hessian", "curvature")

    def generalised(self, theta: torch.Tensor) -> Operator:
        """v ↦ G v, from (n,) to (n,), G the generalised Gauss-Newton matrix at one ``theta``.

        For problems that say that they are ``convex``; ``ddopt.evaluation.outputs`` has it.
        """
        raise self._missing("multiply with its generalised Gauss-Newton matrix", "generalised")

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

        Here by backward passes over chunks of residuals.
        """
        found = torch.func.jacrev(self.residuals, chunk_size=JACOBIAN_ROWS)(theta.detach())
        return found.to(dtype or theta.dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J v, from (n,) to (m,), and w ↦ Jᵀw, from (m,) to (n,), at one ``theta``.

        Here the graph of r is built once and each product is a backward pass: Jᵀw is linear in w,
        and Jv the gradient of <Jᵀw, v> by w.
        """
        return by_graph(self.residuals, theta)

    def linearised(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> Gramian:
        """``jacobian`` as a linear map; its rows may lie on several processes."""
        return Dense(self.jacobian(theta, dtype))

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
            "data": digest(self.sources()),
        }

    def sources(self) -> list[Any]:
        """What f is made from, the same on every process: functions, arrays, what holds them.

        Processes compare the arrays that are found in there
        (:func:`ddopt.evaluation.captured.digest`).
        """
        own = vars(self).items()
        return [part for name, part in own if name not in ("samples", "extra")]

    def _missing(self, ability: str, method: str) -> ValueError:
        return ValueError(
            f"{type(self).__name__} cannot {ability}; it would need a method {method!r}. "
            "Choose a strategy or a Hessian approximation that does without, or add the method"
        )


class Derived(Problem):
    """A problem that stands for another: every ability of the other's, but for local ``extra``.

    A subclass says how its vectors become the other's (``_theirs``), what one of the other's points
    is here (``_seen``), and how it stands for another problem of the same parameters (``_around``).
    Whatever it does not change is handed on, so that no ability is lost (tests/test_derived.py).
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.layout, self.samples, self.cost = problem.layout, problem.samples, problem.cost
        self.geometry, self.draw = problem.geometry, problem.draw
        self.additive, self.vouches, self.tilt = problem.additive, problem.vouches, problem.tilt
        self.convex = problem.convex

    @abstractmethod
    def _around(self, problem: Problem) -> Problem:
        """The same around a part, a share or another draw of the other problem."""

    @abstractmethod
    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        """The point at ``theta``, where the other problem has found ``point``."""

    def _theirs(self, theta: torch.Tensor) -> torch.Tensor:
        """The other problem's θ."""
        return theta

    @property
    def path(self) -> float:
        """The other's."""
        return self.problem.path

    @property
    def squares(self) -> tuple[float, float]:
        """The other's."""
        return self.problem.squares

    @property
    def graph_anew(self) -> bool:  # type: ignore[override]
        """The other's."""
        return self.problem.graph_anew

    @property
    def rows_anew(self) -> bool:  # type: ignore[override]
        """The other's."""
        return self.problem.rows_anew

    @property
    def jacobian_price(self) -> float | None:  # type: ignore[override]
        """The other's, which the first Jacobian may find out."""
        return self.problem.jacobian_price

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate at ``theta``, in this problem's parameters."""
        return self._seen(theta, self.problem.at(self._theirs(theta)))

    def both(self, theta: torch.Tensor) -> Point:
        """The same, where the gradient will be asked for."""
        return self._seen(theta, self.problem.both(self._theirs(theta)))

    def opened(self, theta: torch.Tensor) -> Inside:
        """The other's evaluation, and how it is seen here."""
        place = (self.problem, self._theirs(theta))
        return [place], lambda points: self._seen(theta, points[0])

    @property
    def alone(self) -> Problem:
        """The same around the other problem alone."""
        return self._around(self.problem.alone)

    @property
    def paid(self) -> Problem:
        """The same around the other problem where it is made again."""
        return self._around(self.problem.paid)

    def part(self, samples: Samples) -> Problem:
        """The same around a part."""
        return self._around(self.problem.part(samples))

    def share(self, samples: Samples) -> Problem:
        """The same around a share."""
        return self._around(self.problem.share(samples))

    def drawn(self, number: int) -> Problem:
        """The same around another draw."""
        return self._around(self.problem.drawn(number))

    def coordinates(self, term: int) -> torch.Tensor:
        """The other's."""
        return self.problem.coordinates(term)

    def stages(self) -> list[slice]:
        """Where the stages lie."""
        return self.problem.stages()

    def facts(self, theta: torch.Tensor) -> dict[str, str]:
        """What all must agree on."""
        return self.problem.facts(self._theirs(theta))

    @property
    def called(self) -> str:
        """The other's."""
        return self.problem.called

    def own_share(self, d: int, count: int) -> Problem | None:
        """The same around such a share."""
        found = self.problem.own_share(d, count)
        return None if found is None else self._around(found)

    def sources(self) -> list[Any]:
        """What the other is made from; shares and parts here may be of this process alone."""
        return self.problem.sources()

    def curvature(self, theta: torch.Tensor) -> Operator:
        """The other's products."""
        return self.problem.curvature(self._theirs(theta))

    def generalised(self, theta: torch.Tensor) -> Operator:
        """The other's products."""
        return self.problem.generalised(self._theirs(theta))

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """The other's residuals."""
        return self.problem.residuals(self._theirs(theta))

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The other's Jacobian."""
        return self.problem.jacobian(self._theirs(theta), dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """The other's products with J and its transpose."""
        return self.problem.differential(self._theirs(theta))


class Frozen(Derived):
    """f restricted to the parameters in C, the others held at θ_k; works for every problem."""

    def __init__(self, problem: Problem, theta: torch.Tensor, indices: Indices) -> None:
        super().__init__(problem)
        self.theta, self.indices = theta, indices
        self.layout = problem.layout.restricted(indices)
        self.tilt = None if problem.tilt is None else restrict(problem.tilt, indices)

    def _around(self, problem: Problem) -> Frozen:
        return Frozen(problem, self.theta, self.indices)

    def _theirs(self, theta: torch.Tensor) -> torch.Tensor:
        full = self.theta.clone()
        full[self.indices] = theta
        return full

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        return point.seen(
            theta, lambda: point.value, lambda: restrict(point.gradient, self.indices)
        )

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ R ∇²f Rᵀ v."""
        return self._restricted(super().curvature(theta))

    def generalised(self, theta: torch.Tensor) -> Operator:
        """v ↦ R G Rᵀ v."""
        return self._restricted(super().generalised(theta))

    def _restricted(self, full: Operator) -> Operator:
        n = self.problem.layout.size
        return lambda v: restrict(full(prolong(v, self.indices, n)), self.indices)

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The columns of J that belong to C, shape (m, |C|)."""
        return super().jacobian(theta, dtype)[:, self.indices]

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J Rᵀ v and w ↦ R Jᵀw."""
        (product, pullback), n = super().differential(theta), self.problem.layout.size
        return (
            lambda v: product(prolong(v, self.indices, n)),
            lambda w: restrict(pullback(w), self.indices),
        )

"""Problems: what is minimised.

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
from ddopt.numerics.space import Indices, Layout
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
    rebuilt: int = 0  # how often that was needed because another point had been evaluated
    jacobian_price: float | None = None  # of a whole one, in evaluations; None: by its rows
    trace: list[torch.Tensor] | None = None  # of its last evaluation by residuals (``Point.trace``)

    @property
    def squares(self) -> tuple[float, float]:
        """Σ p² and max p² over the shares p in which f is evaluated: what its rows cost there."""
        return 1.0, 1.0

    @property
    def path(self) -> float:
        """One evaluation per process: ``cost``, unless several processes share it."""
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

    def frozen(self, point: Point, indices: Indices) -> Problem | None:
        """f as a function of the parameters in ``indices`` alone, the others held at ``point``.

        None, as here, where that costs as much as the whole f: ``ddopt.evaluation.derived.held``,
        which asks, then evaluates the whole.
        """
        return None

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

"""Problems that stand for another problem: what all of them hand on, and f of some parameters.

Legend as in ``ddopt/evaluation/problem.py``.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from ddopt.evaluation.problem import Inside, Operator, Point, Problem, Samples
from ddopt.numerics.space import Indices, prolong, restrict

if TYPE_CHECKING:
    import torch


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
        """The longest path of one evaluation of the other problem."""
        return self.problem.path

    @property
    def squares(self) -> tuple[float, float]:
        """What the rows of the other problem's shares cost."""
        return self.problem.squares

    @property
    def graph_anew(self) -> bool:  # type: ignore[override]
        """Whether the other problem builds its graph for each product with ∇²f."""
        return self.problem.graph_anew

    @property
    def rows_anew(self) -> bool:  # type: ignore[override]
        """Whether the other problem builds its graph for each product with J."""
        return self.problem.rows_anew

    @property
    def rebuilt(self) -> int:  # type: ignore[override]
        """How often the other problem had to."""
        return self.problem.rebuilt

    @property
    def jacobian_price(self) -> float | None:  # type: ignore[override]
        """The other's, which the first Jacobian may find out."""
        return self.problem.jacobian_price

    @property
    def trace(self) -> list[torch.Tensor] | None:  # type: ignore[override]
        """What the other problem's last evaluation left."""
        return self.problem.trace

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
        """Where the samples of the other problem lie."""
        return self.problem.coordinates(term)

    def stages(self) -> list[slice]:
        """Where the stages of the other problem lie."""
        return self.problem.stages()

    def facts(self, theta: torch.Tensor) -> dict[str, str]:
        """What all processes must agree on, of the other problem."""
        return self.problem.facts(self._theirs(theta))

    @property
    def called(self) -> str:
        """The name of the other problem, for messages."""
        return self.problem.called

    def own_share(self, d: int, count: int) -> Problem | None:
        """The same around such a share."""
        found = self.problem.own_share(d, count)
        return None if found is None else self._around(found)

    def sources(self) -> list[Any]:
        """What the other is made from; shares and parts here may be of this process alone."""
        return self.problem.sources()

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v of the other problem, at its θ."""
        return self.problem.curvature(self._theirs(theta))

    def generalised(self, theta: torch.Tensor) -> Operator:
        """v ↦ G v of the other problem, at its θ."""
        return self.problem.generalised(self._theirs(theta))

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r of the other problem, at its θ."""
        return self.problem.residuals(self._theirs(theta))

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """J of the other problem, at its θ."""
        return self.problem.jacobian(self._theirs(theta), dtype)

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """Products with J and Jᵀ of the other problem, at its θ."""
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


def held(problem: Problem, point: Point, indices: Indices) -> Problem:
    """f of the parameters in ``indices`` alone (None: of all), the others held at ``point``.

    In the problem's own way, where it has one that is cheaper than evaluating the whole f. Called
    for the objective of a subdomain, and by wrappers for what is in them.
    """
    own = problem.frozen(point, indices)
    if own is not None:
        return own
    return problem if indices is None else Frozen(problem, point.theta, indices)

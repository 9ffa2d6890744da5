"""f(·; D) evaluated in shares: each process evaluates the samples of its own subdomains."""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import torch

from ddopt.decomposition.data import deal
from ddopt.evaluation.derived import Derived, Frozen, held
from ddopt.evaluation.problem import Inside, Operator, Point, Problem, Samples
from ddopt.executor.rows import Rows
from ddopt.executor.serial import Serial

if TYPE_CHECKING:
    from collections.abc import Callable

    from ddopt.executor.executor import Executor
    from ddopt.numerics.reading import Number
    from ddopt.numerics.space import Indices

T = TypeVar("T")
JACOBIAN = 3.0  # evaluations, for what shares do by themselves at one θ


class Split(Derived):
    """A problem whose value and gradient are summed over N shares of its samples.

    The shares are dealt once, by N and not by the number of processes, and summed in subdomain
    order. The gradient is reduced when it is asked for: a trial rejected on its value costs no
    vector.
    """

    def __init__(self, problem: Problem, shares: int, executor: Executor) -> None:
        assert problem.samples is not None
        super().__init__(problem)
        self.executor, self.count = executor, shares
        self.extra = problem.extra  # few samples: every process evaluates all of them
        dealt = deal(problem.samples.counts, shares)
        lengths = [sum(map(len, share.terms)) for share in dealt]
        self._longest = max(lengths)
        parts = [(own / max(sum(lengths), 1)) ** 2 for own in lengths]
        self._squares = (sum(parts), max(parts))
        self._largest = _picked(problem.samples, dealt[lengths.index(self._longest)])
        self._shares: dict[int, Problem] = {}
        for d in executor.owned(shares):
            own = _picked(problem.samples, dealt[d])
            self._shares[d] = problem.own_share(d, shares) or problem.share(own)

    charged = MappingProxyType({"answers": JACOBIAN})

    def answers(self, ask: Callable[[Problem], T]) -> dict[int, T]:
        """What each share of this process answers, by its number, at the price of a Jacobian.

        For components that work on the shares where they are, such as a factorisation by regions.
        """
        return {d: ask(share) for d, share in self._shares.items()}

    @property
    def path(self) -> float:
        """The cost of the largest share."""
        assert self.samples is not None
        return self.cost * self._longest / len(self.samples)

    @property
    def squares(self) -> tuple[float, float]:
        """Those of the shares."""
        return self._squares

    rows_anew = True  # the graph of one share is in memory

    @property
    def trace(self) -> list[torch.Tensor] | None:  # type: ignore[override]
        """What the first share here has left, as of a point."""
        return next((share.trace for share in self._shares.values()), None)

    @property
    def graph_anew(self) -> bool:  # type: ignore[override]
        """Whether the largest share does: shares are smaller, and may fit where all of D does not.

        Processes that own other shares must find the same.
        """
        return self.problem.share(self._largest).graph_anew

    def _around(self, problem: Problem) -> Problem:
        """A subdomain's own loss is evaluated where the subdomain is: not split."""
        return problem

    def _seen(self, theta: torch.Tensor, point: Point) -> Point:
        return point

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate every share, and add them up in order."""
        return self._added(theta, {d: share.at(theta) for d, share in self._shares.items()})

    def both(self, theta: torch.Tensor) -> Point:
        """The same, where the gradient will be asked for."""
        return self._added(theta, {d: share.both(theta) for d, share in self._shares.items()})

    def opened(self, theta: torch.Tensor) -> Inside | None:  # type: ignore[override]
        """The shares, where all of them are here."""
        if self.executor.size > 1:
            return None
        own = list(self._shares)
        places = [(share, theta) for share in self._shares.values()]
        return places, lambda points: self._added(theta, dict(zip(own, points, strict=True)))

    def _added(self, theta: torch.Tensor, points: dict[int, Point]) -> Point:
        value, epsilon = self._values(points)

        def gradient() -> torch.Tensor:
            gradients = {d: point.gradient for d, point in points.items()}
            return self.executor.sum(gradients, self.count, theta)

        traces = [point.trace for point in points.values()]
        return Point(theta, value, gradient, epsilon, next(iter(traces), None))

    def _values(self, points: dict[int, Point]) -> tuple[float | Number, float]:
        """The sum of all shares' values, and the largest round-off of one; a collective."""
        if self.executor.size == 1:  # nothing has to travel before it is needed
            every = [points[d] for d in range(self.count)]
            return lambda: sum(p.value for p in every), max(p.epsilon for p in every)
        own = {d: [p.value, p.epsilon] for d, p in points.items()}
        rows = self.executor.numbers(own, self.count)
        return sum(value for value, _ in rows), max(epsilon for _, epsilon in rows)

    @property
    def paid(self) -> Problem:
        """Itself: meters are around the shares, not in them."""
        return self

    @cached_property
    def alone(self) -> Problem:
        """f over all shares, here.

        The shares are the same ones: with batch normalisation, or dropout by the call, the loss of
        all samples at once is another function.
        """
        here = self.executor.size == 1
        return self if here else Split(self.problem.alone, self.count, Serial())

    def frozen(self, point: Point, indices: Indices) -> Problem:
        """A subdomain's own loss is evaluated where the subdomain is.

        In the same shares, where f is another function when it is cut in another way.
        """
        local = held(self.problem, point, indices)
        if self.additive:
            return local
        if type(local).share is Problem.share:
            return Frozen(self.alone, point.theta, indices) if indices is not None else self.alone
        return shared(local, self.count, Serial())[0]

    def curvature(self, theta: torch.Tensor) -> Operator:
        """Every share multiplies, and the products are added up in order."""
        return self._multiplied({d: f.curvature(theta) for d, f in self._shares.items()})

    def generalised(self, theta: torch.Tensor) -> Operator:
        """The same with the generalised Gauss-Newton matrices."""
        return self._multiplied({d: f.generalised(theta) for d, f in self._shares.items()})

    def _multiplied(self, products: dict[int, Operator]) -> Operator:
        def product(v: torch.Tensor) -> torch.Tensor:
            own = {d: multiply(v) for d, multiply in products.items()}
            return self.executor.sum(own, self.count, v)

        return product

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """Those of all shares, share after share, gathered: shape (m,)."""
        own = {d: share.residuals(theta).detach() for d, share in self._shares.items()}
        return torch.cat(self.executor.each(own, self._sizes(own), theta))

    def _sizes(self, own: dict[int, torch.Tensor]) -> list[int]:
        """How many rows each share has."""
        rows = self.executor.numbers({d: [float(len(r))] for d, r in own.items()}, self.count)
        return [int(number) for (number,) in rows]

    def linearised(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> Rows:
        """The rows of the shares, each where it is evaluated."""
        own = {d: share.jacobian(theta, dtype) for d, share in self._shares.items()}
        return Rows(own, self._sizes(own), self.executor, theta.to(dtype or theta.dtype))

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J v and w ↦ Jᵀw share by share, so that the graph of one share is in memory."""
        sizes = self._sizes({d: s.residuals(theta) for d, s in self._shares.items()})

        def product(v: torch.Tensor) -> torch.Tensor:
            own = {d: share.differential(theta)[0](v) for d, share in self._shares.items()}
            return torch.cat(self.executor.each(own, sizes, v))

        def pullback(w: torch.Tensor) -> torch.Tensor:
            pieces = w.split(sizes)
            own = {d: s.differential(theta)[1](pieces[d]) for d, s in self._shares.items()}
            return self.executor.sum(own, self.count, theta)

        return product, pullback

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The rows of all shares on every process: m n numbers; ``linearised`` leaves them."""
        own = {d: share.jacobian(theta, dtype) for d, share in self._shares.items()}
        n, like = len(theta), theta.to(dtype or theta.dtype)
        sizes = [size * n for size in self._sizes(own)]
        flat = {d: rows.reshape(-1) for d, rows in own.items()}
        return torch.cat(self.executor.each(flat, sizes, like)).view(-1, n)


def _picked(samples: Samples, deal: Samples) -> Samples:
    """The samples at the places that were dealt."""
    picked = zip(samples.terms, deal.terms, strict=True)
    return Samples(tuple(term[places] for term, places in picked))


def shared(problem: Problem, shares: int, executor: Executor) -> tuple[Problem, int]:
    """The problem evaluated in so many shares, where its samples can be shared out; and how many.

    No share is empty: there are at most as many as the smallest term of the loss has samples.
    """
    if problem.samples is None or type(problem).share is Problem.share:
        return problem, 1
    shares = min([shares, *(count for count in problem.samples.counts if count)])
    if shares == 1:
        return problem, 1
    return Split(problem, shares, problem.geometry.sharing(executor)), shares

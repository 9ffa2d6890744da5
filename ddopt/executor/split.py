"""f(·; D) evaluated in shares: each process evaluates the samples of its own subdomains."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch

from ddopt.decomposition.data import deal
from ddopt.executor.serial import Serial
from ddopt.executor.sharded import Sharded
from ddopt.problem import Frozen, Operator, Point, Problem, Samples

if TYPE_CHECKING:
    from ddopt.executor.executor import Executor
    from ddopt.space import Indices


class Split(Problem):
    """A problem whose value and gradient are summed over N shares of its samples.

    The shares are dealt once, by N and not by the number of processes, and summed in subdomain
    order. The gradient is reduced when it is asked for: a trial rejected on its value costs no
    vector.
    """

    def __init__(self, problem: Problem, shares: int, executor: Executor) -> None:
        assert problem.samples is not None
        self.problem, self.executor, self.count = problem, executor, shares
        self.layout, self.samples, self.cost = problem.layout, problem.samples, problem.cost
        self.draw, self.geometry = problem.draw, problem.geometry
        self.extra = problem.extra  # few samples: every process evaluates all of them
        self.additive, self.vouches = problem.additive, problem.vouches
        dealt = deal(problem.samples.counts, shares)
        self._shares: dict[int, Problem] = {}
        for d in executor.owned(shares):
            picked = zip(problem.samples.terms, dealt[d].terms, strict=True)
            own = Samples(tuple(term[pick] for term, pick in picked))
            self._shares[d] = problem.share(own)

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate every share, and add them up in order."""
        return self._added(theta, {d: share.at(theta) for d, share in self._shares.items()})

    def both(self, theta: torch.Tensor) -> Point:
        """The same, where the gradient will be asked for."""
        return self._added(theta, {d: share.both(theta) for d, share in self._shares.items()})

    def _added(self, theta: torch.Tensor, points: dict[int, Point]) -> Point:
        own = {d: [p.value, p.epsilon] for d, p in points.items()}
        rows = self.executor.numbers(own, self.count)
        value, epsilon = sum(value for value, _ in rows), max(epsilon for _, epsilon in rows)

        def gradient() -> torch.Tensor:
            gradients = {d: point.gradient for d, point in points.items()}
            return self.executor.sum(gradients, self.count, theta)

        traces = [point.trace for point in points.values()]
        return Point(theta, value, gradient, epsilon, next(iter(traces), None))

    @cached_property
    def alone(self) -> Problem:
        """f over all shares, here.

        The shares are the same ones: with batch normalisation, or dropout by the call, the loss of
        all samples at once is another function.
        """
        here = self.executor.size == 1
        return self if here else Split(self.problem.alone, self.count, Serial())

    def part(self, samples: Samples) -> Problem:
        """A subdomain's own loss is evaluated where the subdomain is: not split."""
        return self.problem.part(samples)

    def share(self, samples: Samples) -> Problem:
        """So is its share."""
        return self.problem.share(samples)

    def frozen(self, point: Point, indices: Indices) -> Problem:
        """A subdomain's own loss is evaluated where the subdomain is.

        In the same shares, where f is another function when it is cut in another way.
        """
        frozen = self.problem.frozen(point, indices)
        if self.additive:
            return frozen
        if type(frozen).share is Problem.share:
            return Frozen(self.alone, point.theta, indices) if indices is not None else self.alone
        return shared(frozen, self.count, Serial())[0]

    def curvature(self, theta: torch.Tensor) -> Operator:
        """Every share multiplies, and the products are added up in order."""
        products = {d: share.curvature(theta) for d, share in self._shares.items()}

        def product(v: torch.Tensor) -> torch.Tensor:
            own = {d: multiply(v) for d, multiply in products.items()}
            return self.executor.sum(own, self.count, v)

        return product

    def stages(self) -> list[slice]:
        """Where the stages lie."""
        return self.problem.stages()

    def facts(self, theta: torch.Tensor) -> dict[str, str]:
        """What all must agree on."""
        return self.problem.facts(theta) if self.geometry.sharded else super().facts(theta)

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the samples lie."""
        return self.problem.coordinates(term)


def shared(problem: Problem, shares: int, executor: Executor) -> tuple[Problem, int]:
    """The problem evaluated in so many shares, where its samples can be shared out; and how many.

    No share is empty: there are at most as many as the smallest term of the loss has samples.
    """
    if problem.samples is None or type(problem).share is Problem.share:
        return problem, 1
    shares = min([shares, *(count for count in problem.samples.counts if count)])
    if shares == 1:
        return problem, 1
    if isinstance(problem.geometry, Sharded):
        executor = problem.geometry.copies
    return Split(problem, shares, executor), shares

"""Several evaluations in one: the same network at several θ, each on samples of its own.

A subdomain of a few samples keeps a core busy with calls, not with numbers. Where N subdomains ask
for the same loss, one call for all of them costs hardly more than one for each: θ_1 .. θ_N are the
rows of a matrix, and torch.func.vmap makes one batched operation of every N.

Legend: θ (n,) parameters; a leaf is an evaluation behind all wrappers and shares.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache, partial
from typing import TYPE_CHECKING

import torch

from ddopt.evaluation.autograd import AutogradProblem
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.numerics.reading import Later

if TYPE_CHECKING:
    from collections.abc import Iterator

Leaf = tuple[AutogradProblem, torch.Tensor]
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-4}  # of a value, where two ways must agree


class Opened:
    """An evaluation as its leaves, and the point that is made from theirs.

    ``refusal`` says in words why it cannot be one of several, where it cannot.
    """

    def __init__(self, problem: Problem, theta: torch.Tensor) -> None:
        self.leaves: list[Leaf] = []
        self.refusal = ""
        self._made = self._open(problem, theta)

    def _open(self, problem: Problem, theta: torch.Tensor) -> Callable[[Iterator[Point]], Point]:
        inner = problem.opened(theta)
        if inner is not None:
            places, seen = inner
            parts = [self._open(*place) for place in places]
            return lambda points: seen([part(points) for part in parts])
        self.refusal = self.refusal or _refusal(problem)
        if isinstance(problem, AutogradProblem):
            self.leaves.append((problem, theta))
        return next

    def point(self, points: Iterator[Point]) -> Point:
        """The point, from those of the leaves in their order."""
        return self._made(points)


def _refusal(problem: Problem) -> str:
    if not isinstance(problem, AutogradProblem):
        return f"{problem.called} is no loss of named parameters and samples (AutogradProblem)"
    if type(problem).at is not AutogradProblem.at or type(problem).both is not AutogradProblem.both:
        return f"{problem.called} evaluates in a way of its own"
    if problem.chunked:
        return "its samples are evaluated in chunks"
    return ""


def evaluated(leaves: list[Leaf]) -> tuple[list[Point], list[int]]:
    """The points of all leaves, those that are alike in one call; and which were not alone.

    Raises ``RuntimeError`` where torch has no rule for something in the loss.
    """
    groups: dict[Hashable, list[int]] = {}
    for i, (problem, theta) in enumerate(leaves):
        groups.setdefault((problem.kind, theta.dtype), []).append(i)
    found: dict[int, Point] = {}
    batched: list[int] = []
    for members in groups.values():
        group = [leaves[i] for i in members]
        if len(group) == 1:
            ((problem, theta),) = group
            found[members[0]] = problem.at(theta)
        else:
            batched += members
            found.update(zip(members, _batch(group), strict=True))
    return [found[i] for i in range(len(leaves))], batched


def _batch(group: list[Leaf]) -> list[Point]:
    """Points of leaves that differ in θ and in their samples alone; one graph for all of them.

    The gradients are computed for all when one of them is asked for.
    """
    first = group[0][0]
    terms = list(zip(*(_samples(problem).terms for problem, _ in group), strict=True))

    def loss(theta: torch.Tensor, *picked: torch.Tensor) -> torch.Tensor:
        return first.over(Samples(picked)).loss(theta)

    with torch.enable_grad():
        leaf = torch.stack([theta.detach() for _, theta in group]).requires_grad_()
        losses = torch.func.vmap(loss)(leaf, *(torch.stack(own) for own in terms))

    @cache
    def gradients() -> torch.Tensor:
        return torch.autograd.grad(losses.sum(), leaf)[0]

    def row(i: int) -> torch.Tensor:
        return gradients()[i].clone()

    epsilon = torch.finfo(losses.dtype).eps
    values = Later(losses, list)
    return [
        Point(theta, lambda i=i: values()[i], partial(row, i), epsilon)  # type: ignore[misc]
        for i, (_, theta) in enumerate(group)
    ]


def agree(own: Point, point: Point) -> bool:
    """Whether value and gradient are those that an evaluation of its ``own`` gave."""
    close = CLOSE.get(own.theta.dtype, CLOSE[torch.float32])
    off = float((own.gradient - point.gradient).norm())
    near = abs(own.value - point.value) <= close * abs(own.value)
    return near and off <= close * float(own.gradient.norm())


def _samples(problem: AutogradProblem) -> Samples:
    assert problem.samples is not None
    return problem.samples

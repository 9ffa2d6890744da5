"""Problems given by a closure that returns residuals: compute them, and no backward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ddopt.evaluation.batch import BatchProblem, Closure
from ddopt.evaluation.counted import refuse_another_number
from ddopt.evaluation.graphs import left_whole
from ddopt.evaluation.jacobian import Operator, by_rows
from ddopt.evaluation.per_point import NotPerPointError, per_point
from ddopt.evaluation.problem import Point, Samples
from ddopt.evaluation.stillness import Stillness
from ddopt.numerics.space import Parameters

PER_POINT = 10.0  # evaluations, of a Jacobian with copies of the weights (docs/design/prices.md)
CHECKED = 1e-4  # how well Jv of the fast way must agree with the product, the first time


@dataclass
class Way:
    """How the Jacobian of an optimizer's closures is computed; found out with the first one."""

    per_point: bool | None = None


class ResidualProblem(BatchProblem):
    """f(θ) = (1/m) Σ_i r_i(θ)², the mean of squares of what the closure returns.

    The closure computes the residuals at the module's parameters as a tensor of any shape, or as a
    list of tensors, and returns them with their graph; it calls no backward. With a batch it is
    called as ``closure(part)`` and f is a mean over the residuals of the part. In f of the whole
    batch every sample counts alike. The residuals that the solvers see are r/√m, so that f = ‖·‖².

    The Jacobian takes three backward passes where a point has one residual in each tensor, or in
    each column of a matrix (points, equations), and the parameters are in linear layers; otherwise
    one for each residual (``ddopt.evaluation.per_point``, ``ddopt.evaluation.jacobian.by_rows``).
    """

    def __init__(
        self,
        parameters: Parameters,
        closure: Closure,
        stillness: Stillness,
        batch: Any = None,
        way: Way | None = None,
    ) -> None:
        super().__init__(parameters, closure, stillness, batch)
        self.way = way or Way()
        self._count: int | None = None  # of residuals, from the first evaluation on

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f; the closure runs again where the gradient is asked for.

        A graph over the module's parameters cannot be kept: the next point is written into them.
        """
        r = self.residuals(theta)
        value = float(torch.dot(r, r))
        return Point(theta, value, lambda: self._gradient(theta), trace=self.trace)

    @left_whole()
    @torch.enable_grad()
    def both(self, theta: torch.Tensor) -> Point:
        """Evaluate f and its gradient in one run of the closure."""
        r = self._with_graph(theta)
        value = torch.dot(r, r)
        gradient = self._flat(torch.autograd.grad(value, self._leaves, allow_unused=True))
        return Point(theta, float(value.detach()), gradient, trace=self.trace)

    def _gradient(self, theta: torch.Tensor) -> torch.Tensor:
        return self.both(theta).gradient

    def _over(self, samples: Samples, weight: float) -> ResidualProblem:
        other = super()._over(samples, weight)
        other._count = None  # a part has fewer residuals
        return other

    @property
    def _leaves(self) -> list[torch.Tensor]:
        return self._parameters.tensors

    def _flat(self, pieces: Any) -> torch.Tensor:
        return self._parameters.flatten(list(pieces))

    def _called(self) -> list[torch.Tensor]:
        """What the closure returns at the parameters of now, as a list of tensors.

        Raises ``ValueError`` where it returns a loss, or nothing that can be residuals.
        """
        with self._stillness, torch.enable_grad():
            found = self._call()
            self.trace = self._stillness.snapshot()
        several = list(found) if isinstance(found, (list, tuple)) and found else [found]
        for one in several:
            if not isinstance(one, torch.Tensor) or one.ndim == 0:
                raise _refused(one)
        if not any(one.requires_grad and one.numel() for one in several):
            raise _refused(next((one for one in several if one.numel()), several[0]))
        real = [torch.view_as_real(one) if one.is_complex() else one for one in several]
        return [one[:, None] if one.ndim == 1 else one for one in real]

    def _blocks(self) -> list[torch.Tensor]:
        """r/√m in blocks (b,): the columns of what the closure returns."""
        found = self._called()
        count = sum(one.numel() for one in found)
        if not self._stillness.finished:  # a checkpoint may ask when the points are others already
            if self._count is not None:
                refuse_another_number(self._count, count)
            self._count = count
        factor = self._factor(count)
        columns = [c for one in found if one.numel() for c in one.flatten(1).unbind(1)]
        return [factor * column.to(self.layout.dtype) for column in columns]

    def _factor(self, count: int) -> float:
        return float((self._weight / max(count, 1)) ** 0.5)

    def _with_graph(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ)/√m, shape (m,), differentiable by the module's parameters."""
        self._parameters.write(theta)
        return torch.cat(self._blocks())

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ)/√m, shape (m,), detached: the graph ends at the module's parameters, not at θ."""
        return self._with_graph(theta).detach()

    @property
    def jacobian_price(self) -> float | None:  # type: ignore[override]
        """That of a copy of the weights for each point, where that is the way; else by its rows."""
        return PER_POINT if self.way.per_point else None

    @left_whole()
    @torch.enable_grad()
    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), in three backward passes where points are independent."""
        found = None
        if self.way.per_point is not False:
            try:
                found = self._per_point(theta)
            except (NotPerPointError, RuntimeError):  # torch has no rule for something in it
                self.way.per_point = False
        if found is None:
            found = by_rows(self._with_graph(theta), self._leaves)
        return found.to(dtype or self.layout.dtype)

    def _per_point(self, theta: torch.Tensor) -> torch.Tensor:
        """The fast way; compared with a product the first time."""
        self._parameters.write(theta)
        found, left = per_point(self._blocks, self._leaves)
        if self.way.per_point and not left:
            return found
        product, _ = self.differential(theta)
        for column in left:
            found[:, column] = product(_unit(column, theta))
        if self.way.per_point is None:
            v = torch.linspace(-1.0, 1.0, len(theta), dtype=theta.dtype, device=theta.device)
            expected = product(v)
            if float((found @ v - expected).norm()) > CHECKED * float(expected.norm()):
                raise NotPerPointError("points are not independent")
            self.way.per_point = True
        return found

    def differential(self, theta: torch.Tensor) -> tuple[Operator, Operator]:
        """v ↦ J v and w ↦ Jᵀw; the graph is built again where a point was evaluated meanwhile."""
        graph = _Graph(self, theta)
        return graph.product, graph.pullback


class _Graph:
    """r and Jᵀw at one θ, for as long as the module's parameters stay there, and then again."""

    def __init__(self, problem: ResidualProblem, theta: torch.Tensor) -> None:
        self._problem, self._theta = problem, theta
        self._build()

    @left_whole()
    @torch.enable_grad()
    def _build(self) -> None:
        self._r = r = self._problem._with_graph(self._theta)
        self._dual = torch.zeros_like(r).requires_grad_()
        options = {"create_graph": True, "allow_unused": True, "materialize_grads": True}
        self._pulled = torch.autograd.grad(r, self._problem._leaves, self._dual, **options)
        self._writes = self._problem._parameters.writes

    def _renew(self) -> None:
        """The next point is written into the parameters that the graph was built from."""
        if self._writes != self._problem._parameters.writes:
            self._problem.rebuilt += 1
            self._build()

    def product(self, v: torch.Tensor) -> torch.Tensor:
        """J v, from (n,) to (m,)."""
        self._renew()
        along = self._problem._parameters.pieces(v)
        pairs = [(p, a) for p, a in zip(self._pulled, along, strict=True) if p.requires_grad]
        outputs, cotangents = zip(*pairs, strict=True)
        return torch.autograd.grad(outputs, self._dual, cotangents, retain_graph=True)[0]

    def pullback(self, w: torch.Tensor) -> torch.Tensor:
        """Jᵀw, from (m,) to (n,)."""
        self._renew()
        leaves = self._problem._leaves
        pieces = torch.autograd.grad(self._r, leaves, w, retain_graph=True, allow_unused=True)
        return self._problem._flat(pieces)


def _unit(column: int, like: torch.Tensor) -> torch.Tensor:
    unit = torch.zeros_like(like)
    unit[column] = 1.0
    return unit


def _refused(found: Any) -> ValueError:
    return ValueError(
        f"the closure returned {_described(found)}; hessian 'gauss_newton' and the "
        "solvers 'levenberg_marquardt' and 'least_squares' need the residuals: a tensor of one "
        "dimension or more that depends on the parameters, or a list of such, with its graph and "
        "without backward; f is the mean of their squares"
    )


def _described(found: Any) -> str:
    if not isinstance(found, torch.Tensor):
        return "None" if found is None else type(found).__name__
    if found.ndim == 0:
        return "a single number"
    if found.numel() == 0:
        return "no residuals at all"
    return f"a tensor of shape {tuple(found.shape)} without a graph"

"""How the Jacobian of a physics-informed loss is computed: chosen once, from what the network is.

The ways, the fastest first:

- *propagated*: derivatives travel through the layers (``ddopt_pinn.propagation``), for a stack of
  known layers and equations with derivatives up to the fourth;
- *per point*: one backward pass with a copy of the weights for each point
  (``ddopt_pinn.jacobian``), for a network whose weights enter through linear layers;
- *per residual*: a backward pass for each residual, for everything else.

The first two are compared with the last at a few points before they are used, so that an equation
of higher order, or one that reads something else than the solution at its own point, is not taken
for one that they can do.

Legend: m residuals, n parameters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from ddopt.evaluation.problem import Samples
from ddopt_pinn.jacobian import Copies, NotPerPointError, one_by_one, per_residual, rows_of
from ddopt_pinn.propagation import ORDERS, OtherDerivativesError, Recorder, Selection, read
from ddopt_pinn.stack import Named, stack_of

# Of a Jacobian, in evaluations (docs/design/prices.md); per residual it is charged by its rows.
PRICES = {"propagated": 3.0, "per point": 10.0}
CHECKED = 3  # samples of each term at which the ways are compared
ROUND_OFF = 1e4  # machine epsilons that they may differ by, relative to the largest entry
LOG = logging.getLogger("ddopt.pinn")
AWAY = 0.1  # from where a run starts: a derivative that is zero there may be read all the same


@dataclass(frozen=True)
class Block:
    """The residuals of one term, before they are scaled so that f = ‖r‖²."""

    term: int
    values: torch.Tensor  # (samples, equations)
    scale: float


class Differentiable(Protocol):
    """What a loss tells of itself; ``PDEProblem`` and ``ModelProblem`` do."""

    samples: Samples | None
    net: torch.nn.Module
    dimensions: int  # coordinates, time included

    def weights(self, theta: torch.Tensor) -> Named:
        """The parameters of the network by its own names, detached."""

    def columns(self) -> dict[str, slice]:
        """Where the network's parameters that move stand in θ, by its own names."""

    def others(self, theta: torch.Tensor) -> dict[str, tuple[slice, torch.Tensor]]:
        """Numbers beside the network that move, 0-d or (1,): where in θ, and their values."""

    def blocks(
        self, forward: Callable[[torch.Tensor], torch.Tensor], others: Named
    ) -> Sequence[Block]:
        """The residuals at its samples, of any network and such numbers (points, 1)."""

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,)."""

    def places(self, term: int) -> torch.Tensor:
        """Where the points of a condition's samples are in its forward pass, (samples, 1 or 2)."""

    def part(self, samples: Samples) -> Any:
        """The same at some of the samples."""


class Differentiation:
    """The choice, kept by a problem and all that is made from it."""

    def __init__(self, net: torch.nn.Module) -> None:
        self._stack = stack_of(net)
        self._selections: list[Selection] | None = None
        self.way: str | None = None  # "propagated", "per point", "per residual"; None: not chosen

    @property
    def price(self) -> float | None:
        """Of a Jacobian in the way that is chosen, in evaluations; None: it goes by its rows."""
        return PRICES.get(self.way or "")

    def jacobian(
        self, problem: Differentiable, theta: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """∂r/∂θ at ``theta`` (n,), shape (m, n), in ``dtype``, detached."""
        theta = theta.detach()
        assert problem.samples is not None
        if len(problem.samples) == 0:
            return torch.zeros(0, len(theta), dtype=dtype, device=theta.device)
        if self.way is None:
            self._choose(problem, theta)
            LOG.info("Jacobian: %s", self.way)
        if self.way == "propagated":
            try:
                assert self._selections is not None
                return self._propagated(problem, theta, self._selections, dtype)
            except OtherDerivativesError:  # it reads more here: look again, or do without
                self.way = None
                return self.jacobian(problem, theta, dtype)
        if self.way == "per point":
            return per_point(problem, theta).detach().to(dtype)
        return per_residual(problem.residuals, theta).detach().to(dtype)

    def _choose(self, problem: Differentiable, theta: torch.Tensor) -> None:
        """Take the first way that gives what a backward pass for each residual gives."""
        assert problem.samples is not None
        few = problem.part(Samples(tuple(term[:CHECKED] for term in problem.samples.terms)))
        noise = torch.randn(len(theta), generator=torch.Generator().manual_seed(0))
        elsewhere = theta + AWAY * noise.to(theta)
        wanted = [few.residuals(elsewhere).detach(), one_by_one(few.residuals, elsewhere)]
        for order in ORDERS if self._stack is not None else ():
            full = [Selection.everything(problem.dimensions, order)] * 2
            asked, _ = _asked(few, elsewhere, self._recorder(few, elsewhere, full))
            values = [block.scale * block.values.detach().reshape(-1) for block in asked]
            found = [torch.cat(values), self._propagated(few, elsewhere, full, theta.dtype)]
            if all(_close(a, b) for a, b in zip(found, wanted, strict=True)):
                self._selections = self._read(problem, elsewhere, full)
                self.way = "propagated"
                return
        try:
            same = _close(per_point(few, elsewhere), wanted[1])
        except NotPerPointError:
            same = False
        self.way = "per point" if same else "per residual"

    def _recorder(
        self, problem: Differentiable, theta: torch.Tensor, selections: Sequence[Selection]
    ) -> Recorder:
        assert self._stack is not None
        return Recorder(self._stack, problem.weights(theta), selections, probing=self.way is None)

    def _read(
        self,
        problem: Differentiable,
        theta: torch.Tensor,
        full: list[Selection],
    ) -> list[Selection]:
        """What each pass through the network must carry, looked up at all samples."""
        recorder = self._recorder(problem, theta, full)
        found, _ = _asked(problem, theta, recorder)
        factors: list[list[torch.Tensor]] = [[] for _ in recorder.passes]
        for block in found:
            number = 0 if block.term == 0 else len(recorder.passes) - 1
            factors[number] += [recorder.factor(number, one) for one in block.values.sum(0)]
        return [read(some, problem.dimensions, full[0].order) for some in factors]

    def _propagated(
        self,
        problem: Differentiable,
        theta: torch.Tensor,
        selections: Sequence[Selection],
        dtype: torch.dtype,
    ) -> torch.Tensor:
        recorder = self._recorder(problem, theta, selections)
        found, leaves = _asked(problem, theta, recorder)
        columns, places = problem.columns(), problem.others(theta)
        m = sum(block.values.numel() for block in found)
        J = torch.zeros(m, len(theta), dtype=dtype, device=theta.device)
        start = 0
        for block in found:
            points, width = block.values.shape
            rows = J[start : start + points * width].view(points, width, len(theta))
            start += points * width
            if points == 0:
                continue
            number = 0 if block.term == 0 else len(recorder.passes) - 1
            if block.term == 0:
                index = torch.arange(points, device=theta.device)[:, None]
            else:
                index = problem.places(block.term).to(theta.device)
            for k, total in enumerate(block.values.sum(0)):
                factor = block.scale * recorder.factor(number, total)
                _add(recorder, number, factor, index, rows[:, k], columns)
                for name, (piece, _) in places.items():
                    (slope,) = torch.autograd.grad(
                        total, leaves[name], retain_graph=True, materialize_grads=True
                    )
                    if len(slope) == points:  # read by this term; else it is zero
                        rows[:, k, piece] = block.scale * slope.to(dtype)
        return J


def _asked(
    problem: Differentiable, theta: torch.Tensor, recorder: Recorder
) -> tuple[Sequence[Block], Named]:
    """The residuals, and the leaves that stand for the numbers beside the network."""
    assert problem.samples is not None
    count = problem.samples.counts[0]
    leaves = {
        name: value.detach().reshape(1, 1).repeat(count, 1).requires_grad_()
        for name, (_, value) in problem.others(theta).items()
    }
    with torch.enable_grad():
        return problem.blocks(recorder.forward, leaves), leaves


def _add(
    recorder: Recorder,
    number: int,
    factor: torch.Tensor,
    index: torch.Tensor,
    target: torch.Tensor,
    columns: dict[str, slice],
) -> None:
    """Add the rows of one equation at its samples; one that looks at two points has two."""
    for points in index.T:
        recorder.rows(number, factor, points, {c: target[:, p] for c, p in columns.items()})


def _close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    if found.numel() == 0:
        return True
    off = float((found - wanted).abs().max())
    return off <= ROUND_OFF * torch.finfo(wanted.dtype).eps * float(wanted.abs().max())


def per_point(problem: Differentiable, theta: torch.Tensor) -> torch.Tensor:
    """By one backward pass where every point can have its own weights."""
    columns, places = problem.columns(), problem.others(theta)
    copies = Copies(problem.net, problem.weights(theta), set(columns))
    assert problem.samples is not None
    leaves = {
        name: value.detach().reshape(1, 1).repeat(problem.samples.counts[0], 1).requires_grad_()
        for name, (_, value) in places.items()
    }
    with torch.enable_grad():
        found = problem.blocks(copies.forward, leaves)
    pieces = []
    for block in found:
        points, width = block.values.shape
        J = theta.new_zeros(points, width, len(theta))
        if points:
            moving = copies.passes[0 if block.term == 0 else -1]
            for name, piece in columns.items():
                rows = rows_of(block.values.sum(0), [moving[name]])
                J[:, :, piece] = (
                    rows if block.term == 0 else rows[problem.places(block.term)].sum(1)
                )
            if block.term == 0:
                for name, (piece, _) in places.items():
                    J[:, :, piece] = rows_of(block.values.sum(0), [leaves[name]])
        pieces.append(block.scale * J.flatten(0, 1))
    return torch.cat(pieces) if pieces else theta.new_zeros(0, len(theta))

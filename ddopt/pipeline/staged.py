"""f(θ; D) of a network cut into stages, evaluated where the stages are.

Why not a schedule of ``torch.distributed.pipelining``: its ``step`` runs forward and backward as
one, accumulates into ``.grad`` and forgets the activations. Here a trial is rejected on its value
alone, without a backward pass, and a stage needs its input and its output cotangent afterwards. It
cuts the modules (:func:`ddopt.pipeline.cut_at`); the passes are a few lines.

Legend: S stages, M chunks (micro-batches), W processes; stage d belongs to process d mod W.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ddopt.dropout import Dropout, dropping
from ddopt.evaluation.captured import digest
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.executor.serial import Serial
from ddopt.executor.sharded import Sharded
from ddopt.numerics.space import Indices, Layout
from ddopt.numerics.vectors import LOCAL, fingerprint
from ddopt.pipeline.curvature import StagedCurvature
from ddopt.pipeline.stage import NO_RESIDUALS, Stage, StageObjective, Tensors, linearised, padded

if TYPE_CHECKING:
    from torch import nn

    from ddopt.executor import Executor

Feed = Callable[[torch.Tensor], Any]  # sample indices -> the first stage's input, or a tuple
Redraw = Callable[[int], tuple[Feed, int]]  # draw -> its feed, and the number of its dropout masks
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # output, indices -> sum of losses


class StagedProblem(Problem):
    """The mean loss of a network of stages; vectors hold this process's own stages, in order.

    Args:
        stages: the modules, all of them on every process; on the meta device they cost nothing.
        feed: the input of the first stage for a tensor of sample indices.
        loss: the *sum* of the losses of the network's output for these samples.
        samples: D, one term.
        executor: who owns which stage.
        chunks: M; processes work on different chunks at the same time.
        redraw: what is random in a draw, where anything is.
    """

    def __init__(
        self,
        stages: list[nn.Module],
        feed: Feed,
        loss: Loss,
        samples: Samples,
        executor: Executor | None = None,
        *,
        chunks: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        redraw: Redraw | None = None,
    ) -> None:
        self.executor = executor or Serial()
        self.count = len(stages)
        if self.count < self.executor.size:
            raise ValueError(
                f"{self.executor.size} processes cannot share {self.count} stages; start at most "
                "one process for each stage, or cut the network into more"
            )
        self.sizes = [padded(stage) for stage in stages]
        self.lengths = [sum(p.numel() for p in stage.parameters()) for stage in stages]
        self._stages = {
            d: Stage(stages[d], dtype, torch.device(device))
            for d in self.executor.owned(self.count)
        }
        self.layout = _joined([stage.layout for stage in self._stages.values()])
        self._blocks: dict[int, slice] = {}
        end = 0
        for d in self._stages:
            self._blocks[d] = slice(end, end + self.sizes[d])
            end += self.sizes[d]
        alone = self.count == 1
        self.geometry = LOCAL if alone else Sharded(self.executor, self._blocks, self.count)
        self._feed, self._loss, self._chunks = feed, loss, chunks
        self._redraw = redraw
        self._noise: int | None = None  # of the dropout masks
        drops = [sum(m.uses for m in s.modules() if isinstance(m, Dropout)) for s in stages]
        self._drops = [sum(drops[:d]) for d in range(self.count)]  # before each stage
        self.samples = samples
        self._total: float = len(samples)  # f is the sum of the losses over this

    def copied(self, copies: Executor) -> None:
        """Let the processes of ``copies`` hold the same stages as this one, for other samples."""
        if self.count > 1:
            self.geometry = Sharded(self.executor, self._blocks, self.count, copies)

    def initial(self, seed: int = 0) -> torch.Tensor:
        """θ_0 of this process's stages."""
        return torch.cat([stage.initial(seed) for stage in self._stages.values()])

    def stages(self) -> list[slice]:
        """Where each stage lies in this process's vectors."""
        return [self._blocks.get(d, slice(0, 0)) for d in range(self.count)]

    def facts(self, theta: torch.Tensor) -> dict[str, str]:
        """Every process has its own parameters; all must agree on the stages and the samples."""
        assert self.samples is not None
        return {
            "stages": f"{self.sizes} in {self._chunks} chunks, {self.layout.dtype}",
            "sample counts": str(self.samples.counts),
            "samples": fingerprint(self.samples.terms[0]),
            "data": digest(self.sources()),
        }

    def sources(self) -> list[Any]:
        """What feeds the first stage, and what judges the last."""
        return [self._feed, self._loss, self._redraw]

    def part(self, samples: Samples) -> StagedProblem:
        """The mean loss over other samples; the same object for the same ones.

        All stages on one part of the samples then share its activations.
        """
        if self._last is None or self._last.samples is not samples:
            assert self.samples is not None
            self._last = self._over(samples, self._total * len(samples) / len(self.samples))
        return self._last

    def share(self, samples: Samples) -> StagedProblem:
        """The contribution of ``samples`` to the mean over all."""
        return self._over(samples, self._total)

    _last: StagedProblem | None = None

    def _over(self, samples: Samples, total: float) -> StagedProblem:
        assert self.samples is not None
        other = copy.copy(self)
        other.samples, other._total = samples, total
        other._last = other._revisited = None
        other.cost = self.cost * len(samples) / len(self.samples)
        return other

    def drawn(self, number: int) -> StagedProblem:
        """The same samples with random numbers of their own; ``redraw`` knows which."""
        if self._redraw is None:
            return self
        assert self.samples is not None
        other = self._over(self.samples, self._total)
        other._feed, other._noise = self._redraw(number)
        other.draw = number + 1
        return other

    def scored(self, feed: Feed, loss: Loss, samples: Samples) -> StagedProblem:
        """The same stages on other data, judged otherwise: a test loss, the number of hits.

        ``scored(...).at(theta).value`` is the mean score, on every process.
        """
        other = self._over(samples, len(samples))
        other._feed, other._loss, other._noise = feed, loss, None
        return other

    def at(self, theta: torch.Tensor) -> StagedPoint:
        """Forward through the stages; backward when the gradient is asked for (by all)."""
        return StagedPoint(self, theta)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """No process has them all."""
        raise ValueError(NO_RESIDUALS)

    def curvature(self, theta: torch.Tensor) -> StagedCurvature:
        """v ↦ ∇²f(θ) v; a product sends what a gradient sends."""
        return StagedCurvature(self.at(theta))

    def frozen(self, point: Point, indices: Indices) -> StageObjective | None:
        """What one of this process's stages minimises around ``point``."""
        if indices is None:
            return None
        (d,) = (d for d, block in self._blocks.items() if block == indices)
        origin = None
        if not isinstance(point, StagedPoint) or point.problem is not self:
            point = self._revisit(point.theta)
            gradient = self.piece(point.gradient, d)
            origin = point.seen(self.piece(point.theta, d), point.value, gradient)
        seen, last = point, d == self.count - 1

        def value(m: int, theta: torch.Tensor) -> torch.Tensor:
            found = seen.outputs_of(m, d, theta, seen.inputs[d][m])
            if last:
                return seen.loss_of(m, found)
            return linearised(seen.cotangents[d][m], seen.outputs[d][m], found)

        values = [partial(value, m) for m in range(self._chunks)]
        cost = self.cost * self.sizes[d] / sum(self.sizes)
        offset = 0.0 if last else point.value
        return StageObjective(self._stages[d].layout, values, offset, cost, origin)

    _revisited: StagedPoint | None = None

    def _revisit(self, theta: torch.Tensor) -> StagedPoint:
        """A point that has lost its activations (it was loaded), once for all of its stages."""
        if self._revisited is None or self._revisited.theta is not theta:
            self._revisited = self.at(theta)
            self._revisited.gradient  # noqa: B018 - gives the cotangents
        return self._revisited

    def named(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters of this process's stages by name, as views of its vector."""
        stages = self._stages.items()
        return {k: v for d, stage in stages for k, v in stage.named(self.piece(theta, d)).items()}

    def piece(self, theta: torch.Tensor, stage: int) -> torch.Tensor:
        """θ_d of one of this process's stages."""
        return theta[self._blocks[stage]]


class StagedPoint(Point):
    """A visited θ, with what each own stage d saw there: lists over the chunks.

    ``inputs[d]`` holds a_{d-1}, ``outputs[d]`` a_d, and ``cotangents[d]`` c_d once the gradient has
    been taken. They live as long as the point.
    """

    def __init__(self, problem: StagedProblem, theta: torch.Tensor) -> None:
        assert problem.samples is not None
        self.problem = problem
        self._indices = problem.samples.terms[0].tensor_split(problem._chunks)
        self.inputs: dict[int, list[Tensors]] = {d: [] for d in problem._stages}
        self.outputs: dict[int, list[Tensors]] = {d: [] for d in problem._stages}
        self.cotangents: dict[int, list[Tensors]] = {
            d: [()] * problem._chunks for d in problem._stages
        }
        self._graphs: dict[tuple[int, int], Tensors] = {}
        self._leaves = {
            d: problem.piece(theta, d).detach().requires_grad_() for d in problem._stages
        }
        value, epsilon = self._forward()
        super().__init__(theta, value, self._backward, epsilon)

    def outputs_of(self, m: int, d: int, theta: torch.Tensor, inputs: Tensors) -> Tensors:
        """φ_d of chunk m, with the masks of its samples where there is dropout."""
        problem, stage = self.problem, self.problem._stages[d]
        if problem._noise is None:
            return stage(theta, inputs)
        with dropping(problem._noise, self._indices[m], problem._drops[d]):
            return stage(theta, inputs)

    def loss_of(self, m: int, outputs: Tensors) -> torch.Tensor:
        """Chunk m's contribution to the mean loss."""
        (output,) = outputs
        return self.problem._loss(output, self._indices[m]) / self.problem._total

    def _forward(self) -> tuple[float, float]:
        """f and its round-off, by wavefronts: at time t, stage d works on chunk t - d."""
        problem, executor = self.problem, self.problem.executor
        own, last = problem._stages, problem.count - 1
        losses: list[float] = []
        epsilon = 0.0  # of the loss, known where the last stage is
        for m, d in self.order:
            if d == 0:
                fed = problem._feed(self._indices[m])
                inputs = fed if isinstance(fed, tuple) else (fed,)
            else:
                inputs = executor.receive(d - 1, d, self._device)
            inputs = tuple(_leaf(tensor, moving=d > 0) for tensor in inputs)
            with torch.enable_grad():
                found = self.outputs_of(m, d, self._leaves[d], inputs)
                if d == last:
                    loss = self.loss_of(m, found)
                    losses.append(float(loss.detach()))
                    epsilon = torch.finfo(loss.dtype).eps
            self.inputs[d].append(inputs)
            self.outputs[d].append(tuple(tensor.detach() for tensor in found))
            self._graphs[m, d] = (loss,) if d == last else found
            if d < last:
                executor.send(self.outputs[d][m], d, d + 1)
        executor.settle()
        rows = executor.numbers({d: [sum(losses), epsilon] for d in own}, problem.count)
        return rows[last][0], rows[last][1]

    def _backward(self) -> torch.Tensor:
        """The wavefronts of the forward pass, in the opposite order."""
        executor, last = self.problem.executor, self.problem.count - 1
        gradients = {d: torch.zeros_like(leaf) for d, leaf in self._leaves.items()}
        for m, d in reversed(self.order):
            found = self._graphs.pop((m, d))
            cotangents: Tensors = (torch.ones_like(found[0]),)  # ∂f/∂f
            if d < last:
                received = iter(executor.receive(d + 1, d, self._device))
                cotangents = tuple(
                    next(received) if tensor.is_floating_point() else tensor for tensor in found
                )
                self.cotangents[d][m] = cotangents
            pairs = [(t, c) for t, c in zip(found, cotangents, strict=True) if t.requires_grad]
            moving = [tensor for tensor in self.inputs[d][m] if tensor.requires_grad]
            results = torch.autograd.grad(
                [tensor for tensor, _ in pairs],
                [self._leaves[d], *moving],
                [cotangent for _, cotangent in pairs],
                materialize_grads=True,
            )
            gradients[d] += results[0]
            if d > 0:
                executor.send(tuple(results[1:]), d, d - 1)
            self.inputs[d][m] = tuple(tensor.detach() for tensor in self.inputs[d][m])
        executor.settle()
        return torch.cat(list(gradients.values()))

    @property
    def order(self) -> list[tuple[int, int]]:
        """(chunk, stage) of this process's work, by time and then by stage.

        The order is the same for all: whoever waits for a message waits for one that will come.
        """
        problem = self.problem
        return [
            (t - d, d)
            for t in range(problem._chunks + problem.count - 1)
            for d in problem._stages
            if 0 <= t - d < problem._chunks
        ]

    @property
    def _device(self) -> torch.device:
        return self.problem.layout.device


def _leaf(tensor: torch.Tensor, *, moving: bool) -> torch.Tensor:
    leaf = tensor.detach()
    return leaf.requires_grad_() if moving and leaf.is_floating_point() else leaf


def _joined(layouts: list[Layout]) -> Layout:
    names = tuple(name for layout in layouts for name in layout.names)
    shapes = tuple(shape for layout in layouts for shape in layout.shapes)
    return Layout(names, shapes, layouts[0].dtype, layouts[0].device)

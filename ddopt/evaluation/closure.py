"""Problems given by a PyTorch closure: zero the gradients, compute the loss, call backward."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import torch

from ddopt.evaluation.graphs import built_inside
from ddopt.evaluation.problem import Point, Problem, Samples
from ddopt.numerics.reading import Later, Number
from ddopt.numerics.space import Parameters

Closure = Callable[..., torch.Tensor]


class Stillness:
    """Keeps f one function: every evaluation sees the same buffers and the same random numbers.

    Without it, the running means of a BatchNorm layer and the masks of a dropout layer would differ
    between an iterate and its trial, and the ratio would measure noise. What an evaluation leaves
    in them is the trace of its point. Afterwards both are as the point that is kept has left them:
    a rejected trial leaves nothing.
    """

    def __init__(self, buffers: Sequence[torch.Tensor], device: torch.device) -> None:
        self._buffers = list(buffers)
        self._device = device
        self._before = self.snapshot()
        self._disturbed = False
        self._finished = False  # the step that this belongs to
        self._outside: list[torch.Tensor] | None = None

    def snapshot(self) -> list[torch.Tensor]:
        """The random states and copies of the buffers, as they are now."""
        states = [torch.random.get_rng_state()]
        if self._device.type == "cuda":
            states.append(torch.cuda.get_rng_state(self._device))
        return states + [buffer.detach().clone() for buffer in self._buffers]

    def _restore(self, snapshot: list[torch.Tensor]) -> None:
        torch.random.set_rng_state(snapshot[0])
        rest = snapshot[1:]
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(rest[0], self._device)
            rest = rest[1:]
        for buffer, kept in zip(self._buffers, rest, strict=True):
            buffer.detach().copy_(kept)

    def __enter__(self) -> None:
        if self._finished:  # a checkpoint asks for a gradient
            self._outside = self.snapshot()
        self._disturbed = True
        self._restore(self._before)

    def __exit__(self, *exception: object) -> None:
        """In a step nothing: the next evaluation, or ``finish``, restores what it needs."""
        if self._outside is not None:
            self._restore(self._outside)

    def finish(self, point: Point | None) -> None:
        """Leave buffers and random numbers as the kept ``point`` left them.

        They are as before where it was evaluated in an earlier step, or on another process.
        """
        self._finished = True
        trace = None if point is None else point.trace
        if self._disturbed:
            self._restore(self._before if trace is None else trace)
        if point is not None:
            point.trace = None  # of this step only: what comes between two steps stays


def take(batch: Any, index: torch.Tensor) -> Any:
    """The samples ``index`` of a batch: a tensor, or a tuple, list or mapping of tensors."""
    if isinstance(batch, torch.Tensor):
        return batch[index.to(batch.device)]
    if isinstance(batch, Mapping):
        return {key: take(value, index) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        taken = [take(value, index) for value in batch]
        named = hasattr(batch, "_fields")  # a namedtuple is made from its values one by one
        return type(batch)(*taken) if named else type(batch)(taken)
    raise ValueError(
        f"a batch is a tensor, or a tuple, list or dict of tensors; got {type(batch).__name__}"
    )


def batch_size(batch: Any) -> int:
    """The number of samples, the length of the first dimension, of all tensors of a batch."""
    if isinstance(batch, torch.Tensor):
        if batch.ndim == 0:
            raise ValueError("a batch holds samples in its first dimension; a 0-d tensor was given")
        return len(batch)
    values = list(batch.values()) if isinstance(batch, Mapping) else batch
    if not isinstance(values, tuple | list) or not values:
        raise ValueError(
            "a batch is a tensor, or a non-empty tuple, list or dict of tensors; "
            f"{type(batch).__name__} was given"
        )
    sizes = {batch_size(value) for value in values}
    if len(sizes) > 1:
        raise ValueError(f"the tensors of a batch must have one length; found {sorted(sizes)}")
    return sizes.pop()


def refuse_other_arguments(closure: Closure, batch: Any) -> None:
    """Raise ``ValueError`` unless the closure can be called: with a part of the batch, or bare."""
    try:
        signature = inspect.signature(closure)
    except (TypeError, ValueError):  # not a Python function
        return
    try:
        signature.bind(*(() if batch is None else (batch,)))
    except TypeError as error:
        wanted = "closure(), so without a batch" if batch is None else "closure(part), for a batch"
        advice = "call step(closure, batch)" if batch is None else "call step(closure)"
        raise ValueError(
            f"step calls {wanted}, and this closure cannot be called so ({error}); give it other "
            f"arguments, or {advice}"
        ) from None


def _number(loss: Any, parameters: torch.dtype) -> tuple[Number, float]:
    """The loss that a closure returned, a number or a tensor of one element, and its round-off.

    A number tells nothing about the type that it was computed in: it is that of the parameters.
    """
    if isinstance(loss, torch.Tensor):
        if loss.numel() == 1 and loss.dtype != torch.bool:
            kind = loss.dtype if loss.is_floating_point() else parameters
            # A copy: a closure may return the same tensor each time, and write to it.
            return Later(loss.detach().clone()), torch.finfo(kind).eps
        given = f"a tensor of shape {tuple(loss.shape)} and {loss.dtype}"
    elif isinstance(loss, Real) and not isinstance(loss, bool):  # NumPy's numbers are, too
        number = float(loss)
        return lambda: number, torch.finfo(parameters).eps
    else:
        given = "None" if loss is None else type(loss).__name__
    raise ValueError(
        f"the closure returned {given}; it has to return the loss, a single number, and residuals "
        "where a method works on them: LeastSquares, LevenbergMarquardt, hessian='gauss_newton'"
    )


class ClosureProblem(Problem):
    """f as a closure sees it; a batch makes it a mean over samples, ``closure(part)`` over a part.

    A closure always runs backward, so value and gradient come together: the accepted trial's
    gradient is the next iteration's first one.
    """

    additive = False  # batch normalisation, or dropout by the call, would make it another function
    vouches = True

    def __init__(
        self,
        parameters: Parameters,
        closure: Closure,
        stillness: Stillness,
        batch: Any = None,
        samples: Samples | None = None,
        weight: float = 1.0,
        cost: float = 1.0,
    ) -> None:
        self.layout = parameters.layout
        self.samples, self.cost = samples, cost
        self._parameters, self._closure, self._stillness = parameters, closure, stillness
        self._batch, self._weight = batch, weight

    @classmethod
    def over(
        cls, batch: Any, parameters: Parameters, closure: Closure, stillness: Stillness
    ) -> ClosureProblem:
        """f over all samples of a batch; without one (None) the closure knows its samples itself.

        Raises ``ValueError`` for a batch without samples, and for what is no batch.
        """
        if batch is None:
            return cls(parameters, closure, stillness)
        size = batch_size(batch)
        if not size:
            raise ValueError(
                "the batch is empty: the first dimension of its tensors is 0, and f is a mean over "
                "samples; leave this step out"
            )
        return cls(parameters, closure, stillness, batch, Samples.all(size))

    def at(self, theta: torch.Tensor) -> Point:
        """Write ``theta`` (n,) into the module, clear its gradients, and call the closure.

        A gradient of an earlier call would otherwise be added to, or taken for this one's, by a
        closure that forgets to clear it or to call backward: nothing in its numbers would tell.
        Where the gradient is not finite the value is nan.

        Raises:
            ValueError: the closure returns no single number, or leaves no or sparse gradients, or
                calls backward on what it has not computed itself.
        """
        self._parameters.write(theta)
        self._parameters.clear_gradients()
        with self._stillness, torch.enable_grad(), built_inside():
            if self.samples is None:
                loss = self._closure()
            else:
                loss = self._closure(take(self._batch, self.samples.terms[0]))
            trace = self._stillness.snapshot()
        value, epsilon = _number(loss, self._parameters.tensors[0].dtype)
        gradients = [p.grad for p in self._parameters.tensors]
        if all(gradient is None for gradient in gradients):
            raise ValueError(
                "the closure left no gradient in any parameter of the optimizer; it has to call "
                "loss.backward(), on a loss that depends on them"
            )
        if any(gradient is not None and gradient.is_sparse for gradient in gradients):
            raise ValueError("a gradient is sparse; expected dense ones: Embedding(sparse=False)")
        gradient = self._parameters.flatten(gradients)
        if self._weight != 1.0:
            gradient.mul_(self._weight)

        def finite() -> float:
            # Where ∇f is not, no step leads away from here: a trial must not be accepted.
            return self._weight * value() if math.isfinite(point.largest()) else math.nan

        point = Point(theta, finite, gradient, epsilon, trace)
        point.foresee()
        return point

    def sources(self) -> list[Any]:
        """What the closure has captured, and the batch."""
        return [self._closure, self._batch]

    def part(self, samples: Samples) -> ClosureProblem:
        """The closure's loss over a part of the batch."""
        return self._over(samples, self._weight)

    def share(self, samples: Samples) -> ClosureProblem:
        """The part's mean loss, weighted by its share of the batch."""
        assert self.samples is not None
        return self._over(samples, self._weight * (len(samples) / len(self.samples)))

    def _over(self, samples: Samples, weight: float) -> ClosureProblem:
        assert self.samples is not None
        return ClosureProblem(
            self._parameters,
            self._closure,
            self._stillness,
            self._batch,
            samples,
            weight,
            self.cost * len(samples) / len(self.samples),
        )

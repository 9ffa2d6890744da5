"""Problems of a function that is called with a batch, or with the parts of one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, TypeVar

import torch

from ddopt.evaluation.problem import Problem, Samples
from ddopt.evaluation.stillness import Stillness
from ddopt.numerics.space import Parameters

Closure = Callable[..., Any]
Own = TypeVar("Own", bound="BatchProblem")


class BatchProblem(Problem):
    """A mean over the samples of a batch, of which a closure evaluates any part.

    The closure is called as ``closure(part)``, or without a batch (None) as ``closure()``: it knows
    its samples itself, and f has no parts. Raises ``ValueError`` for a batch without samples, and
    for what is no batch.
    """

    additive = False  # batch normalisation, or dropout by the call, would make it another function

    def __init__(
        self, parameters: Parameters, closure: Closure, stillness: Stillness, batch: Any = None
    ) -> None:
        self.layout = parameters.layout
        self._parameters, self._closure, self._stillness = parameters, closure, stillness
        self._batch, self._weight = batch, 1.0
        if batch is None:
            return
        size = batch_size(batch)
        if not size:
            raise ValueError(
                "the batch is empty: the first dimension of its tensors is 0, and f is a mean over "
                "samples; leave this step out"
            )
        self.samples = Samples.all(size)

    def _call(self) -> Any:
        """What the closure returns for the samples of this problem."""
        if self.samples is None:
            return self._closure()
        return self._closure(take(self._batch, self.samples.terms[0]))

    def sources(self) -> list[Any]:
        """What the closure has captured, and the batch."""
        return [self._closure, self._batch]

    def part(self: Own, samples: Samples) -> Own:
        """The mean over a part of the batch; of a share it has the weight of the share."""
        return self._over(samples, 1.0)

    def share(self: Own, samples: Samples) -> Own:
        """The mean over a part, weighted by its share of the batch."""
        assert self.samples is not None
        return self._over(samples, len(samples) / len(self.samples))

    def _over(self: Own, samples: Samples, weight: float) -> Own:
        assert self.samples is not None
        other = copy(self)
        other.samples, other._weight = samples, self._weight * weight
        other.cost = self.cost * len(samples) / len(self.samples)
        return other


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
    if not callable(closure):
        tensor = isinstance(closure, torch.Tensor)
        given = f"a tensor of shape {tuple(closure.shape)}" if tensor else type(closure).__name__
        raise ValueError(
            f"step() was given {given}, and needs a closure, a function that computes the loss or "
            "the residuals each time it is called, at other parameters; for example "
            "step(lambda: net(x) - y) where residuals are asked for"
        )
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

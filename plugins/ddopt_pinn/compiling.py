"""``model.compile`` for ddopt's optimizers, with a loss that has parts.

model.compile(optimizer, loss_weights=[1, 100])           # DeepXDE's line
ddopt_pinn.compile(model, optimizer, loss_weights=[1, 100])  # the same, with parts
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ddopt.numerics.space import Parameters
from ddopt.optim import EngineOptimizer
from ddopt.setup.notice import warn
from ddopt_pinn.model import ModelProblem, data_in_parts, means


def _called(optimizer: Any) -> str:
    """How a message calls what is no optimizer of ddopt."""
    if isinstance(optimizer, (str, type)):
        return f"{optimizer!r}"
    return type(optimizer).__name__


class Source:
    """The problem of a model; another one as soon as its points or its weights are others."""

    def __init__(self, model: Any, loss: Any) -> None:
        self._model, self._loss = model, loss
        self._points: Any = None
        self._loss_weights: list[float] | None = None
        self._problem: ModelProblem | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickles, which cannot hold a model: its conditions and its closures are functions."""
        return Source, (None, "MSE")

    def __deepcopy__(self, memo: dict[int, Any]) -> Source:
        """A copy, of the model too."""
        memo[id(self)] = other = Source(None, self._loss)
        other.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items()})
        return other

    def __call__(self, parameters: Parameters) -> ModelProblem:
        """The problem at the model's points and weights of now; callbacks may change both."""
        if self._model is None:
            raise ValueError(
                "this optimizer was pickled, without its model; call ddopt_pinn.compile(model, "
                "optimizer) with the model that it shall train now"
            )
        points, weights = self._model.data.train_x, self._model.loss_weights
        weights = None if weights is None else [float(weight) for weight in weights]
        if self._problem is None or points is not self._points or weights != self._loss_weights:
            self._points, self._loss_weights = points, weights
            self._problem = ModelProblem(self._model, parameters, self._loss, weights)
        return self._problem


def compile(
    model: Any,
    optimizer: EngineOptimizer,
    *,
    loss: Any = "MSE",
    loss_weights: Sequence[float] | None = None,
    external_trainable_variables: Any = None,
    **options: Any,
) -> None:
    """``model.compile``, with a loss that the optimizer can evaluate on parts of the points.

    For the variants that decompose samples or space ("D", "PINN"), and for others that gain from
    it: values without backward passes, Gauss-Newton. Arguments are those of ``dde.Model.compile``.
    Warns where DeepXDE would drop something silently: external variables that the optimizer does
    not hold, a regularizer, a learning rate. Raises ``ValueError`` for other optimizers, and for a
    loss that is no mean over points: other data, other losses, dropout, batch norm.
    """
    if not isinstance(optimizer, EngineOptimizer):
        raise ValueError(
            "ddopt_pinn.compile is for ddopt's optimizers, ddopt.TrustRegion(net.parameters()) for "
            f"example, and not for {_called(optimizer)}; use model.compile"
        )
    data_in_parts(model)
    means(loss)
    variables = external_trainable_variables or []
    variables = variables if isinstance(variables, list) else [variables]
    held = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    lost = [variable for variable in variables if id(variable) not in held]
    if lost:
        warn(
            f"{len(lost)} of the external_trainable_variables will never change: DeepXDE adds them "
            "to its own optimizers only; make this one with [*net.parameters(), *variables]"
        )
    if getattr(model.net, "regularizer", None) is not None:
        kind = model.net.regularizer[0]
        why = "is in DeepXDE's loss but has no parts: it is shown, and not trained"
        if kind != "l1":
            why = "is not in the loss: DeepXDE hands it to its own optimizers only"
        warn(f"the regularizer {model.net.regularizer} {why}")
    for name in ("lr", "decay"):
        if options.pop(name, None) is not None:
            warn(f"{name}= has no effect: a trust region finds its own step lengths")
    model.compile(
        optimizer,
        loss=loss,
        loss_weights=loss_weights,
        external_trainable_variables=external_trainable_variables,
        **options,
    )
    optimizer.minimise(Source(model, loss))

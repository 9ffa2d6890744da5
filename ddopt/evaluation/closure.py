"""Problems given by a PyTorch closure: zero the gradients, compute the loss, call backward."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch

from ddopt.evaluation.batch import BatchProblem
from ddopt.evaluation.graphs import built_inside
from ddopt.evaluation.problem import Point


def _number(loss: Any, parameters: torch.dtype) -> tuple[float, float]:
    """The loss that a closure returned, a number or a tensor of one element, and its round-off.

    A number tells nothing about the type that it was computed in: it is that of the parameters.
    """
    if isinstance(loss, torch.Tensor):
        if loss.numel() == 1 and loss.dtype != torch.bool:
            kind = loss.dtype if loss.is_floating_point() else parameters
            return float(loss.detach()), torch.finfo(kind).eps
        given = f"a tensor of shape {tuple(loss.shape)} and {loss.dtype}"
    elif isinstance(loss, Real) and not isinstance(loss, bool):  # NumPy's numbers are, too
        return float(loss), torch.finfo(parameters).eps
    else:
        given = "None" if loss is None else type(loss).__name__
    raise ValueError(
        f"the closure returned {given}; it has to return the loss, a single number, and residuals "
        "where a method works on them: LeastSquares, LevenbergMarquardt, hessian='gauss_newton'"
    )


class ClosureProblem(BatchProblem):
    """f as a closure sees it; a batch makes it a mean over samples, ``closure(part)`` over a part.

    A closure always runs backward, so value and gradient come together: the accepted trial's
    gradient is the next iteration's first one.
    """

    vouches = True

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
            loss = self._call()
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
        if not bool(gradient.isfinite().all()):
            value = math.nan  # no step leads away from here: a trial must not be accepted
        if self._weight != 1.0:
            value, gradient = self._weight * value, gradient.mul_(self._weight)
        return Point(theta, value, gradient, epsilon, trace)

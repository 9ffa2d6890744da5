"""A ``dde.Model`` as a problem: its loss, evaluated on parts of its collocation points.

The loss is DeepXDE's, f(θ) = Σ_i w_i loss_i(residuals of the i-th equation or condition), with all
training points in the equations. Without external variables nothing is written into the network
until a step ends, and a value needs no backward pass until somebody asks for the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ddopt.evaluation.autograd import AutogradProblem, Named
from ddopt.evaluation.graphs import built_inside
from ddopt.evaluation.problem import Operator, Point, Samples
from ddopt.numerics.space import Indices, Parameters
from ddopt_pinn.collocation import Collocation, network_at
from ddopt_pinn.differentiation import Block, Differentiation
from ddopt_pinn.library import dde, numbers


class ModelProblem(AutogradProblem):
    """f of a ``dde.Model`` with a ``dde.data.PDE`` (or ``TimePDE``), at the points of now.

    Args:
        model: a ``dde.Model``; it need not be compiled.
        parameters: what moves, in its order; the network's parameters where nothing is given.
            Tensors that are not the network's are external variables, which the equation reads.
        loss: DeepXDE's name of a loss, or a function, or one for each equation and condition. It
            must be a mean over points.
        loss_weights: one number for each equation and condition.

    Raises ``ValueError`` for other data, or a loss that is no mean over points.
    """

    def __init__(
        self,
        model: Any,
        parameters: Parameters | None = None,
        loss: Any = "MSE",
        loss_weights: Sequence[float] | None = None,
    ) -> None:
        data = data_in_parts(model)
        parameters = parameters or Parameters(model.net.named_parameters())
        layout = parameters.layout
        self.net, self._data = model.net, data
        self.differentiation = Differentiation(model.net)  # shared with the parts of this problem
        own = {id(tensor): name for name, tensor in model.net.named_parameters()}
        pairs = list(zip(layout.names, parameters.tensors, strict=True))
        self._names = {name: own[id(tensor)] for name, tensor in pairs if id(tensor) in own}
        self._external = {name: tensor for name, tensor in pairs if id(tensor) not in own}
        with numbers(layout.dtype, layout.device):
            self._collocation = Collocation(
                data, data.train_x_all, 1.0, layout.dtype, layout.device
            )
        self._auxiliary = _auxiliary(data, layout.dtype, layout.device)
        self._means = means(loss)
        self._loss_weights = None if loss_weights is None else [float(w) for w in loss_weights]
        self._equations = 1  # until they have been asked
        counts = self._collocation.counts
        self.dimensions = self._collocation.points(0).shape[1]
        super().__init__(layout, self._term_sums, Samples.all(*counts))

    def _pde(self, x: torch.Tensor, u: torch.Tensor, index: torch.Tensor) -> Any:
        """The residuals of the equations at points, given by number too; a column or more each."""
        if self._data.pde is None:
            return x.new_zeros(len(x), 0)
        if self._auxiliary is None:
            return self._data.pde(x, u)
        return self._data.pde(x, u, self._auxiliary[index.to(x.device)])

    def _errors(
        self, forward: Callable[[torch.Tensor], torch.Tensor], samples: Samples
    ) -> list[tuple[int, torch.Tensor]]:
        """The residuals of each loss at its samples, with the term that they belong to."""
        widths: list[int] = []

        def equation(x: torch.Tensor, u: torch.Tensor) -> Any:
            found = self._pde(x, u, samples.terms[0])
            several = found if isinstance(found, (list, tuple)) else [found]
            widths.extend(1 if one.ndim == 1 else one.shape[1] for one in several)
            return several

        inside, *rest = self._collocation.residuals(forward, equation, samples)
        columns = [(0, one) for one in inside.split(widths, 1)] if self._data.pde else []
        self._equations = len(columns)
        return [*columns, *((t + 1, error) for t, error in enumerate(rest))]

    def _term_sums(self, named: Named, samples: Samples) -> tuple[torch.Tensor, ...]:
        errors = self._errors(self._network(named), samples)
        pairs = zip(errors, self._chosen(len(errors)), strict=True)
        sums: list[torch.Tensor] = [errors[0][1].new_zeros(())] * len(samples.terms)
        for (term, error), (mean, weight) in pairs:
            if len(error):
                sums[term] = sums[term] + weight * len(error) * mean(error)
        return tuple(sums)

    def _chosen(self, count: int) -> list[tuple[Callable[..., Any], float]]:
        """The loss and the weight of each of the ``count`` equations and conditions."""
        means = self._means * count if len(self._means) == 1 else self._means
        weights = self._loss_weights or [1.0] * count
        for what, given in (("losses", means), ("loss_weights", weights)):
            if len(given) != count:
                raise ValueError(
                    f"{len(given)} {what} were given, and the model has {count} equations and "
                    "conditions; give one for each"
                )
        return list(zip(means, weights, strict=True))

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate f; with external variables the gradient comes at once.

        The equation reads them where they are, so they must not change under a graph.
        """
        if not self._external:
            return super().at(theta)
        leaf = theta.detach().requires_grad_()
        named = self.named(leaf)
        with torch.no_grad():
            for name, tensor in self._external.items():
                tensor.copy_(named[name])
        with torch.enable_grad():
            loss = self.loss(leaf)
        tensors = list(self._external.values())
        with built_inside():
            inner, *outer = torch.autograd.grad(loss, [leaf, *tensors], materialize_grads=True)
        for name, gradient in zip(self._external, outer, strict=True):
            piece = self.layout.slices[self.layout.names.index(name)]
            inner[piece] = gradient.reshape(-1)
        return Point(theta, float(loss.detach()), inner, torch.finfo(loss.dtype).eps)

    def frozen(self, point: Point, indices: Indices) -> AutogradProblem | None:
        """Differentiate some tensors alone; not where there are external variables."""
        return None if self._external else super().frozen(point, indices)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f(θ) v, where there are no external variables."""
        if self._external:
            raise self._missing("multiply with its Hessian with external variables", "curvature")
        return super().curvature(theta)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """r(θ), shape (m,), where every loss is a mean of squares and nothing is external."""
        if self._external or any(mean is not _mean_square for mean in self._means):
            raise self._missing("give residuals: it is no sum of squares alone", "residuals")
        with torch.enable_grad():
            found = self.blocks(self._network(self.named(theta)), {})
        return torch.cat([block.scale * block.values.reshape(-1) for block in found])

    @property
    def jacobian_price(self) -> float | None:  # type: ignore[override]
        """That of the way in which it is made."""
        return self.differentiation.price

    def jacobian(self, theta: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
        """∂r/∂θ, shape (m, n), in the way that suits the network and the equation best."""
        return self.differentiation.jacobian(self, theta, dtype or theta.dtype)

    def weights(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The network's parameters by its own names, detached."""
        named = self.named(theta.detach())
        fixed = {n: tensor.detach() for n, tensor in self.net.named_parameters()}
        return fixed | {inner: named[name] for name, inner in self._names.items()}

    def columns(self) -> dict[str, slice]:
        """Where in θ the network's parameters are that move."""
        pairs = zip(self.layout.names, self.layout.slices, strict=True)
        return {self._names[name]: piece for name, piece in pairs if name in self._names}

    def others(self, theta: torch.Tensor) -> dict[str, tuple[slice, torch.Tensor]]:
        """None: with external variables there are no residuals."""
        return {}

    def blocks(self, forward: Callable[[torch.Tensor], torch.Tensor], others: Named) -> list[Block]:
        """The residuals of any network at the samples, one block for each loss."""
        assert self.samples is not None
        errors = self._errors(forward, self.samples)
        pairs = zip(errors, self._chosen(len(errors)), strict=True)
        return [
            Block(term, e, (weight / (max(self._counts[term], 1e-300) * e.shape[1])) ** 0.5)
            for (term, e), (_, weight) in pairs
        ]

    def places(self, term: int) -> torch.Tensor:
        """Where the points of a condition's samples are in its forward pass, (samples, 1 or 2)."""
        assert self.samples is not None
        return self._collocation.places(term, self.samples)

    def _network(self, named: Named) -> Callable[[torch.Tensor], torch.Tensor]:
        """The network with other parameters."""
        weights = {inner: named[name] for name, inner in self._names.items()}
        return network_at(self.net, weights)

    def coordinates(self, term: int) -> torch.Tensor:
        """Where the points of a term lie, shape (points, dimensions)."""
        return self._collocation.points(term)


def data_in_parts(model: Any) -> Any:
    """A model's data; raises ``ValueError`` where its loss is no mean over the points of a PDE."""
    data = model.data
    plain = dde.data.PDE
    own = [getattr(type(data), name, None) for name in ("losses", "losses_train")]
    if own != [plain.losses, plain.losses_train]:
        raise ValueError(
            f"parts of the loss need a dde.data.PDE or dde.data.TimePDE; this model has a "
            f"{type(data).__name__}: {_WHOLE}"
        )
    if dde.config.autodiff != "reverse":
        raise ValueError(
            f"parts of the loss are differentiated in reverse mode, and the equation is written "
            f"for DeepXDE's forward mode: {_WHOLE}"
        )
    layers = [type(layer).__name__ for layer in model.net.modules() if isinstance(layer, _BY_BATCH)]
    if layers:
        raise ValueError(
            f"{layers[0]} draws at random, or looks at all points at once, so the loss has no "
            f"parts: {_WHOLE}"
        )
    return data


_WHOLE = "use model.compile with a method that needs no parts (TrustRegion, or SAPTS's variant P)"
_BY_BATCH = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._BatchNorm)


def _auxiliary(data: Any, dtype: torch.dtype, device: torch.device) -> torch.Tensor | None:
    """DeepXDE's auxiliary variables at the interior points; None where no equation reads them."""
    if data.pde is None or data.auxiliary_var_fn is None or dde.utils.get_num_args(data.pde) < 3:
        return None
    interior = data.train_aux_vars[sum(data.num_bcs) :]
    return torch.as_tensor(interior, dtype=dtype, device=device)


def _mean_square(error: torch.Tensor) -> torch.Tensor:
    return error.square().mean()


def means(loss: Any) -> list[Callable[[torch.Tensor], torch.Tensor]]:
    """The loss of each equation and condition, or one for all: residuals -> a 0-d tensor.

    ``loss`` is what ``dde.Model.compile`` takes. Raises ``ValueError`` for one that is no mean over
    points.
    """
    return [_mean(one) for one in (loss if isinstance(loss, (list, tuple)) else [loss])]


def _mean(loss: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """A loss as a function of the residuals; raises ``ValueError`` if it is no mean over points."""
    if loss in ("MSE", "mse", "mean squared error"):
        return _mean_square
    from deepxde.losses import get

    found = get(loss)
    some = torch.linspace(0.5, 2.0, 4, dtype=torch.float64)[:, None]

    def of(error: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = found(torch.zeros_like(error), error)
        return value

    apart = 0.5 * (of(some[:2]) + of(some[2:]))
    if not torch.allclose(of(some), apart, rtol=1e-12):
        raise ValueError(
            f"the loss {loss!r} is no mean over points, so it has no parts; use MSE or MAE, or "
            f"{_WHOLE}"
        )
    return of

"""A network that is a stack of linear layers and pointwise functions, evaluated on jets.

Forward, each layer takes the jets of its input to those of its output. Backward, the derivative of
a residual by the jets of the output goes to the jets of every input, and on its way gives that
residual's derivative by each weight: one row of the Jacobian for each point, no graph needed.

    z = W h + b:   z_k = W h_k (+ b for the value),   ∂r/∂W = Σ_k (∂r/∂z_k) h_kᵀ

Legend: K channels of a jet; jets have the shape (K, points, width).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ddopt_pinn.activation import POINTWISE, Function, with_derivatives
from ddopt_pinn.jets import Jets
from ddopt_pinn.library import dde

Named = dict[str, torch.Tensor]
Columns = dict[str, torch.Tensor]  # by name of a parameter: what its derivatives are added to


@dataclass(frozen=True)
class Affine:
    """z = W h + b, by the names of its parameters."""

    weight: str
    bias: str | None

    def forward(self, h: torch.Tensor, named: Named, jets: Jets) -> tuple[torch.Tensor, Any]:
        """The jets of z, and what ``backward`` needs."""
        z = torch.matmul(h.flatten(0, 1), named[self.weight].T).unflatten(0, h.shape[:2])
        if self.bias is not None:
            z[0] += named[self.bias]
        return z, h

    def backward(
        self, a: torch.Tensor, h: torch.Tensor, named: Named, columns: Columns, jets: Jets
    ) -> torch.Tensor:
        """Add the derivatives by W and b, (points, entries) each; return those by h."""
        if self.weight in columns:
            rows = columns[self.weight].unflatten(1, named[self.weight].shape)
            rows += torch.bmm(a.permute(1, 2, 0), h.permute(1, 0, 2))
        if self.bias is not None and self.bias in columns:
            columns[self.bias].add_(a[0])
        return torch.matmul(a.flatten(0, 1), named[self.weight]).unflatten(0, a.shape[:2])


@dataclass(frozen=True)
class Pointwise:
    """y = σ(z), number by number."""

    sigma: Function

    def forward(self, z: torch.Tensor, named: Named, jets: Jets) -> tuple[torch.Tensor, Any]:
        """The jets of y, and what ``backward`` needs."""
        sigma = with_derivatives(self.sigma, z[0], jets.order + 1)
        return jets.activated(sigma, z), (sigma, z)

    def backward(
        self, a: torch.Tensor, kept: Any, named: Named, columns: Columns, jets: Jets
    ) -> torch.Tensor:
        """The derivatives by z."""
        sigma, z = kept
        return jets.pulled(sigma, z, a)


Layer = Affine | Pointwise
Transform = Callable[..., torch.Tensor] | None


@dataclass(frozen=True)
class Image:
    """A factor c and a diagonal D, one number for each coordinate: c N(D x)."""

    factor: float = 1.0
    diagonal: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Stack:
    """The layers of a network N, and what is done to its input before and to its output after.

    A network with a symmetry is a sum over its images, Σ c N(D x); its class names them in
    ``images``.
    """

    layers: tuple[Layer, ...]
    before: Transform = None
    after: Transform = None
    images: tuple[Image, ...] = (Image(),)

    def forward(self, h: torch.Tensor, named: Named, jets: Jets) -> tuple[torch.Tensor, list[Any]]:
        """The jets of the output (K, points, outputs), and a tape for ``backward``."""
        tape = []
        for layer in self.layers:
            h, kept = layer.forward(h, named, jets)
            tape.append(kept)
        return h, tape

    def backward(
        self, a: torch.Tensor, tape: list[Any], named: Named, columns: Columns, jets: Jets
    ) -> None:
        """Add ∂r/∂θ of one residual for each point, from ∂r/∂output = ``a`` of its shape."""
        for layer, kept in zip(reversed(self.layers), reversed(tape), strict=True):
            a = layer.backward(a, kept, named, columns, jets)


def stack_of(net: nn.Module) -> Stack | None:
    """A network as a stack of known layers, or None where it is something else.

    Known are a ``dde.nn.FNN`` with its transforms, a subclass of it whose ``images`` say what it
    does with its layers, and a ``torch.nn.Sequential`` of linear layers and pointwise functions,
    however nested.
    """
    if isinstance(net, nn.Sequential):
        found = _sequence(net, "")
        return Stack(tuple(found)) if found else None
    return _fnn(net)


def _fnn(net: Any) -> Stack | None:
    images = getattr(type(net), "images", None)
    if type(net) is not dde.nn.FNN and not (images and isinstance(net, dde.nn.FNN)):
        return None
    several = net.activation if isinstance(net.activation, list) else None
    layers: list[Layer] = []
    for j in range(len(net.linears)):
        layers.append(Affine(f"linears.{j}.weight", f"linears.{j}.bias"))
        if j < len(net.linears) - 1:
            sigma = several[j] if several else net.activation
            if isinstance(sigma, nn.Module) and not isinstance(sigma, POINTWISE):
                return None
            layers.append(Pointwise(sigma))
    transforms = net._input_transform, net._output_transform
    return Stack(tuple(layers), *transforms, tuple(images or (Image(),)))


def _sequence(net: nn.Sequential, prefix: str) -> list[Layer]:
    """The layers of a sequence; empty if one of them is not known."""
    found: list[Layer] = []
    for name, module in net.named_children():
        if type(module) is nn.Linear:
            bias = f"{prefix}{name}.bias" if module.bias is not None else None
            found.append(Affine(f"{prefix}{name}.weight", bias))
        elif isinstance(module, POINTWISE):
            found.append(Pointwise(module))
        elif type(module) is nn.Sequential:
            inner = _sequence(module, f"{prefix}{name}.")
            if not inner:
                return []
            found.extend(inner)
        else:
            return []
    return found

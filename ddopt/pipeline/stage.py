"""One stage φ_d of a pipeline, and what it minimises between two synchronisations.

Legend: θ_d the stage's parameters, a_{d-1} its input, a_d its output, c_d = ∂f/∂a_d its output
cotangent, f_k the loss at θ_k; the samples are cut into chunks (micro-batches) m.
"""

from __future__ import annotations

import copy
import zlib
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ddopt.evaluation.problem import Operator, Point, Problem
from ddopt.executor.sharded import ALIGNMENT
from ddopt.numerics.space import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Tensors = tuple[torch.Tensor, ...]
NO_RESIDUALS = (
    "hessian 'gauss_newton' needs the residuals of the whole network, and a stage of a pipeline "
    "knows the loss through the cotangent of its output alone; choose hessian = 'lsr1' or "
    "'exact', or decompose layers (sapts_p, or cut = 'layers')"
)


class Stage:
    """A module as a function of a flat vector; its parameters may be on the meta device."""

    def __init__(self, module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        named = list(module.named_parameters())
        if any(name.endswith("num_batches_tracked") for name, _ in module.named_buffers()):
            raise ValueError(
                "a stage with batch statistics would change at every trial; use GroupNorm or "
                "LayerNorm in place of BatchNorm"
            )
        for name, layer in module.named_modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p and layer.training:
                raise ValueError(
                    f"layer {name!r} drops at random, and another set at every trial; use "
                    "ddopt.dropout.Dropout, whose masks belong to the iteration and the sample, or "
                    "call eval()"
                )
        names, shapes = [n for n, _ in named], [p.shape for _, p in named]
        self.padding = padded(module) - sum(p.numel() for _, p in named)
        if self.padding:  # zeros that nothing depends on; see Sharded
            names, shapes = [*names, "padding"], [*shapes, torch.Size([self.padding])]
        self.layout = Layout(tuple(names), tuple(shapes), dtype, device)
        self._module = module
        self._buffers = {
            name: buffer.to(device) for name, buffer in module.named_buffers() if not buffer.is_meta
        }

    def __call__(self, theta: torch.Tensor, inputs: Tensors) -> Tensors:
        """φ_d(a_{d-1}; θ_d)."""
        named = {**self.named(theta), **self._buffers}
        out = torch.func.functional_call(self._module, named, inputs)
        return out if isinstance(out, tuple) else (out,)

    def named(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters by name, as views of a vector of this stage."""
        layout = self.layout
        pieces = zip(layout.names, theta.split(layout.sizes), layout.shapes, strict=True)
        named = {name: piece.view(shape) for name, piece, shape in pieces}
        named.pop("padding", None)
        return named

    def initial(self, seed: int) -> torch.Tensor:
        """The parameters as they are, or as ``reset_parameters`` of each layer makes them.

        What a layer gets depends on its name and the seed alone, not on how the network is cut.
        """
        module = self._module
        if any(p.is_meta for p in module.parameters()):
            module = copy.deepcopy(module).to_empty(device="cpu")
            for name, layer in module.named_modules():
                own = list(layer.parameters(recurse=False))
                reset = getattr(layer, "reset_parameters", None)
                if own and reset is None:
                    raise ValueError(
                        f"layer {name!r} is on the meta device and a {type(layer).__name__} has no "
                        "reset_parameters(); give the initial values of this stage yourself"
                    )
                if own and reset is not None:
                    with torch.random.fork_rng(devices=[]):
                        torch.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
                        reset()
        device, dtype = self.layout.device, self.layout.dtype
        flat = [p.detach().reshape(-1).to(device, dtype) for p in module.parameters()]
        return torch.cat([*flat, torch.zeros(self.padding, device=device, dtype=dtype)])


def padded(module: nn.Module) -> int:
    """The length of a stage's vectors: its parameters, filled up to the next whole block."""
    size = sum(p.numel() for p in module.parameters())
    return -(-size // ALIGNMENT) * ALIGNMENT


class StageObjective(Problem):
    """f_d(θ_d) = f_k + <c_d, φ_d(a_{d-1}; θ_d) − a_d>; for the last stage, the loss itself.

    At θ_k its value is f_k and its gradient R_d g_k; away from it the stages before are frozen and
    those after linearised, so it may have no lower bound and only the trust region bounds a step.
    Nothing is sent. ``origin`` is θ_k where making the objective has evaluated it there.
    """

    def __init__(
        self,
        layout: Layout,
        values: Sequence[Callable[[torch.Tensor], torch.Tensor]],
        offset: float,
        cost: float,
        origin: Point | None = None,
    ) -> None:
        self.layout, self.cost = layout, cost
        self._values, self._offset = values, offset  # θ_d ↦ what a chunk contributes
        self._origin = origin

    def at(self, theta: torch.Tensor) -> Point:
        """Evaluate, chunk by chunk; the graph is kept until the gradient is taken."""
        if self._origin is not None and torch.equal(theta, self._origin.theta):
            return self._origin
        leaf = theta.detach().requires_grad_()
        with torch.enable_grad():
            chunks = [value(leaf) for value in self._values]
        value = self._offset + sum(float(chunk.detach()) for chunk in chunks)

        def gradient() -> torch.Tensor:
            total = torch.zeros_like(theta)
            for chunk in reversed(chunks):  # the order of the global backward pass
                total += torch.autograd.grad(chunk, leaf)[0]
            return total

        return Point(theta, value, gradient)

    def residuals(self, theta: torch.Tensor) -> torch.Tensor:
        """There are none."""
        raise ValueError(NO_RESIDUALS)

    def curvature(self, theta: torch.Tensor) -> Operator:
        """v ↦ ∇²f_d(θ_d) v: of this stage alone, with its output's cotangent held."""

        def product(v: torch.Tensor) -> torch.Tensor:
            leaf = theta.detach().requires_grad_()
            total = torch.zeros_like(theta)
            for value in self._values:
                with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                    (g,) = torch.autograd.grad(value(leaf), leaf, create_graph=True)
                    if g.requires_grad:  # a linear stage has none
                        total += torch.autograd.grad(g, leaf, v)[0]
            return total

        return product


def linearised(cotangents: Tensors, outputs: Tensors, found: Tensors) -> torch.Tensor:
    """<c, φ − a> over all tensors that a stage hands on, in float64."""
    terms = [
        ((new - old) * c).sum(dtype=torch.float64)
        for new, old, c in zip(found, outputs, cotangents, strict=True)
        if new.is_floating_point()
    ]
    return torch.stack(terms).sum()

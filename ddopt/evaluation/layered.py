"""An ability of problems that are networks: what each linear layer is given, and what comes back.

Kronecker-factored curvature is made from it (Martens and Grosse, Optimizing neural networks with
Kronecker-factored approximate curvature, ICML 2015). Legend: y = W x + b one layer, x (in,),
y (out,); m rows of x, one for each time that the layer is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ddopt.evaluation.autograd import AutogradProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch.utils.hooks import RemovableHandle


@dataclass(frozen=True)
class Layer:
    """What a linear layer saw when f was evaluated, and what f thinks of it.

    ``weight`` and ``bias`` are where W (out, in) and b (out,) lie in θ; a part that does not move
    is None.
    """

    name: str
    weight: slice
    bias: slice | None
    inputs: torch.Tensor  # x, shape (m, in)
    gradients: torch.Tensor  # ∂f/∂y, shape (m, out)


class LayeredProblem(AutogradProblem):
    """A problem whose loss calls a ``module``; the other arguments are those of the class above.

    ``sums`` must call the module (``torch.func.functional_call``), and not its weights alone.
    A curvature asks ``problem.ability(ddopt.LayeredProblem)``, and is told None by any other
    problem.
    """

    charged: Mapping[str, float] = MappingProxyType({"layers": 1.0})

    def __init__(self, module: nn.Module, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.module = module

    def layers(self, theta: torch.Tensor) -> Iterator[list[Layer]]:
        """What the linear layers saw at θ (n,), chunk by chunk of the samples; one evaluation.

        Their weights must move as a whole. Over all chunks, Σ gradientsᵀ inputs is ∂f/∂W.
        """
        for piece in self._pieces:
            assert isinstance(piece, LayeredProblem)
            yield piece._seen_by_layers(theta)

    def _seen_by_layers(self, theta: torch.Tensor) -> list[Layer]:
        places = dict(zip(self.layout.names, self.layout.slices, strict=True))
        calls: list[tuple[str, torch.Tensor, torch.Tensor]] = []

        def watch(name: str, module: nn.Module) -> RemovableHandle:
            def note(_: nn.Module, given: tuple[torch.Tensor, ...], found: torch.Tensor) -> None:
                calls.append((name, given[0], found))

            return module.register_forward_hook(note)

        linear = [(n, m) for n, m in self.module.named_modules() if isinstance(m, nn.Linear)]
        handles = [watch(n, m) for n, m in linear if f"{n}.weight".lstrip(".") in places]
        try:
            with torch.enable_grad():
                loss = self.loss(theta.detach().requires_grad_())
        finally:
            for handle in handles:
                handle.remove()
        outputs = [found for _, _, found in calls]
        back = torch.autograd.grad(loss, outputs, allow_unused=True)
        return [
            Layer(
                name,
                places[f"{name}.weight".lstrip(".")],
                places.get(f"{name}.bias".lstrip(".")),
                given.detach().flatten(0, -2),
                gradient.flatten(0, -2),
            )
            for (name, given, _), gradient in zip(calls, back, strict=True)
            if gradient is not None
        ]

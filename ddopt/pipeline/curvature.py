"""Products with the Hessian of a network in stages: a forward and a backward pass of tangents.

A stage knows its input a and its output cotangent c at θ. With s = <∂<c, φ>/∂(θ_d, a), (v_d, ȧ)>,

    ȧ_out = ∂s/∂c,    (∇²f v)_d = ∂s/∂θ_d + (∂φ/∂θ_d)ᵀ ċ,    ċ_in = ∂s/∂a + (∂φ/∂a)ᵀ ċ,

so the tangents ȧ travel forward and ċ back (Pearlmutter, Neural Computation 6, 1994, cut at the
stages): a product sends what a gradient sends.

Legend: ˙ the derivative along v; φ a stage; f itself is what the last stage hands on; chunks m.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:
    from ddopt.pipeline.stage import Tensors


class StagedCurvature:
    """v ↦ ∇²f(θ) v at one point; a collective, on vectors of the process's own stages.

    Made by ``StagedProblem.curvature``, with the ``StagedPoint`` at θ.
    """

    def __init__(self, point: Any) -> None:
        point.gradient  # noqa: B018 - gives the cotangents
        self.point, self.problem = point, point.problem

    def __call__(self, v: torch.Tensor) -> torch.Tensor:
        """∇²f v, by all processes at the same time."""
        problem, executor, theta = self.problem, self.problem.executor, self.point.theta
        last, device = problem.count - 1, problem.layout.device
        products = {d: torch.zeros_like(problem.piece(v, d)) for d in problem._stages}
        kept: dict[tuple[int, int], tuple[Tensors, Tensors, Tensors]] = {}
        for m, d in self.point.order:
            leaf = problem.piece(theta, d).detach().requires_grad_()
            inputs = self._leaves(m, d)
            moving = tuple(a for a in inputs if a.requires_grad)
            turning = executor.receive(d - 1, d, device) if d else ()
            with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the fused has no second one
                outputs, cotangents = self._handed(m, d, leaf, inputs)
                first = torch.autograd.grad(
                    outputs,
                    (leaf, *moving),
                    cotangents,
                    create_graph=True,
                    materialize_grads=True,
                )
                pairs = zip(first, (problem.piece(v, d), *turning), strict=True)
                s = torch.stack([(g * turn).sum() for g, turn in pairs]).sum()
            second = torch.autograd.grad(
                s, (leaf, *moving, *cotangents), retain_graph=True, materialize_grads=True
            )
            products[d] += second[0]
            kept[m, d] = outputs, (leaf, *moving), second[1 : 1 + len(moving)]
            if d < last:
                executor.send(second[1 + len(moving) :], d, d + 1)
        executor.settle()
        for m, d in reversed(self.point.order):
            outputs, leaves, returning = kept.pop((m, d))
            if d < last:
                turned = torch.autograd.grad(
                    outputs, leaves, executor.receive(d + 1, d, device), materialize_grads=True
                )
                products[d] += turned[0]
                returning = tuple(a + b for a, b in zip(returning, turned[1:], strict=True))
            if d > 0:
                executor.send(returning, d, d - 1)
        executor.settle()
        return torch.cat(list(products.values()))

    def _leaves(self, m: int, d: int) -> Tensors:
        """The inputs of (m, d); what came as real numbers from the stage before can move."""
        return tuple(
            a.detach().requires_grad_() if d and a.is_floating_point() else a
            for a in self.point.inputs[d][m]
        )

    def _handed(
        self, m: int, d: int, leaf: torch.Tensor, inputs: Tensors
    ) -> tuple[Tensors, Tensors]:
        """What (m, d) hands on that can be differentiated, and its cotangents as leaves."""
        found = self.point.outputs_of(m, d, leaf, inputs)
        if d == self.problem.count - 1:
            loss = self.point.loss_of(m, found)
            return (loss,), (torch.ones_like(loss).requires_grad_(),)
        pairs = zip(found, self.point.cotangents[d][m], strict=True)
        real = [(out, c) for out, c in pairs if out.is_floating_point()]
        return (
            tuple(out for out, _ in real),
            tuple(c.detach().clone().requires_grad_() for _, c in real),
        )

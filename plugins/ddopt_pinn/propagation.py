"""The Jacobian of a physics-informed loss by derivatives that travel through the layers.

A residual at a point depends on the weights through the network's derivatives at that point, its
jet, and on nothing else. So ∂r/∂θ is a product of two factors:

    ∂r/∂θ = ∂r/∂jet · ∂jet/∂θ

The first comes from the equation as the user wrote it: it is asked of a Taylor polynomial whose
coefficients are the jet, and autograd differentiates it once by all of them. The second is the
stack's backward pass (``ddopt_pinn.stack``). No graph goes through the network.

Which derivatives an equation reads is found by looking: those whose factor is zero at all points
are not carried, and second derivatives that always enter as one sum are carried as that sum. Every
later evaluation checks that this is still so.

Legend: K channels of a jet; m points; n parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ddopt_pinn.derivatives import derivatives
from ddopt_pinn.jets import VALUE, Channel, Jets
from ddopt_pinn.stack import Image, Named, Stack
from ddopt_pinn.taylor import Jet, tail, taylor

ORDERS = (2, 3, 4)  # of the derivatives in an equation, tried in this sequence
ROWS = 1024  # points whose rows are made at once: their jets stay in the processor's cache


class OtherDerivativesError(RuntimeError):
    """An equation reads derivatives that it did not read where it was looked at."""


@dataclass(frozen=True)
class Selection:
    """What is carried to the points of one pass through the network.

    ``places`` says for each derivative up to ``order`` which channel it stands in, None for one
    that the equation does not read.
    """

    order: int
    jets: Jets
    places: tuple[int | None, ...]

    @classmethod
    def of(cls, dimensions: int, order: int, wanted: Sequence[Channel]) -> Selection:
        """Carry the channels in ``wanted``, and what the chain rule needs beside them."""
        jets = Jets(wanted)
        asked = {one: k for k, c in enumerate(jets.channels) if c in wanted for one in c}
        return cls(order, jets, tuple(asked.get(one) for one in derivatives(dimensions, order)))

    @classmethod
    def everything(cls, dimensions: int, order: int) -> Selection:
        """Carry every derivative up to ``order``."""
        return cls.of(dimensions, order, [(one,) for one in derivatives(dimensions, order)])

    def spread(self, jet: torch.Tensor) -> torch.Tensor:
        """The derivatives (m, D, outputs) from a jet (K, m, outputs), as the equation reads them.

        A sum of derivatives is spread evenly over them. One that is not carried gets a number of
        its own, so that an equation that reads it all the same has a factor that is not zero.
        """
        shares = [self.places.count(place) for place in self.places]
        columns = [
            torch.full_like(jet[0], 0.7 + 0.1 * i) if place is None else jet[place] / share
            for i, (place, share) in enumerate(zip(self.places, shares, strict=True))
        ]
        return torch.stack(columns, 1)

    def gathered(self, factor: torch.Tensor) -> torch.Tensor:
        """∂r/∂jet (K, m, outputs) from ∂r/∂derivatives (m, D, outputs).

        Raises ``OtherDerivativesError`` where the equation reads what is not carried.
        """
        found = factor.new_zeros(len(self.jets), factor.shape[0], factor.shape[2])
        seen: set[int] = set()
        for i, place in enumerate(self.places):
            if place is None:
                if bool(factor[:, i].any()):
                    raise OtherDerivativesError(f"derivative number {i}")
            elif place not in seen:
                found[place] = factor[:, i]
                seen.add(place)
            elif not torch.equal(found[place], factor[:, i]):
                raise OtherDerivativesError(f"derivative number {i} by itself")
        return found


def read(factors: Sequence[torch.Tensor], dimensions: int, order: int) -> Selection:
    """The selection that an equation needs, from its ∂r/∂derivatives at all points."""
    names = derivatives(dimensions, order)
    used = [one for i, one in enumerate(names) if any(bool(f[:, i].any()) for f in factors)]
    squares = [(i, i) for i in range(dimensions)]
    mixed = any(len(one) > 2 or (len(one) == 2 and one not in squares) for one in used)
    summed: Channel = tuple(one for one in used if one in squares)
    columns = [names.index(one) for one in summed]
    same = len(summed) > 1 and not mixed
    for f in factors:
        same = same and all(torch.equal(f[:, i], f[:, columns[0]]) for i in columns[1:])
    wanted: list[Channel] = [(one,) for one in used if not (same and one in summed)]
    if same:
        wanted.append(summed)
    return Selection.of(dimensions, order, wanted or [VALUE])


@dataclass
class Pass:
    """One pass through the network: its points, and the derivatives that the equation was given."""

    x: torch.Tensor  # (m, dimensions)
    given: torch.Tensor  # (m, D, outputs), a leaf
    selection: Selection


@dataclass
class Recorder:
    """Stands for the network while residuals are asked for, and knows their rows afterwards.

    Args:
        stack: the network.
        named: its parameters by name, detached.
        selections: one for each pass, in the sequence of the calls.
        probing: whether the equation may be of higher order than the selections: it then finds
            derivatives that are zero, and not the end of the graph.
    """

    stack: Stack
    named: Named
    selections: Sequence[Selection]
    probing: bool = False
    passes: list[Pass] = field(default_factory=list)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The network at ``x`` (m, dimensions); autograd differentiates it there by ``x``."""
        selection = self.selections[min(len(self.passes), len(self.selections) - 1)]
        with torch.no_grad():
            chunks = [self._jet(some, selection.jets) for some in x.detach().split(ROWS)]
            jet = torch.cat(chunks, 1) if len(chunks) > 1 else chunks[0]
            given = selection.spread(jet)
        given.requires_grad_()
        self.passes.append(Pass(x.detach(), given, selection))
        y = taylor(given, x, selection.order)
        if self.probing:
            y = y + 0.0 * tail(x, selection.order + 1)
        return y if self.stack.after is None else self.stack.after(x, y)

    def _jet(self, x: torch.Tensor, jets: Jets) -> torch.Tensor:
        """The jets of the network's output before the last transform, (K, points, outputs)."""
        total = None
        for image in self.stack.images:
            h = entered(self.stack, x, jets, image)
            one = self.stack.forward(h, self.named, jets)[0]
            one = one if image.factor == 1.0 else image.factor * one
            total = one if total is None else total + one
        assert total is not None
        return total

    def factor(self, number: int, total: torch.Tensor) -> torch.Tensor:
        """∂r/∂derivatives (m, D, outputs) in a pass, from the sum of one residual at each point."""
        (found,) = torch.autograd.grad(
            total, self.passes[number].given, retain_graph=True, materialize_grads=True
        )
        return found

    def rows(
        self,
        number: int,
        factor: torch.Tensor,
        index: torch.Tensor,
        columns: dict[str, torch.Tensor],
    ) -> None:
        """Add ∂r/∂θ at the points ``index`` of a pass to ``columns``, (points, entries) each.

        The columns decide the precision: float32 columns are computed in float32.
        """
        some = self.passes[number]
        jets, dtype = some.selection.jets, next(iter(columns.values())).dtype
        a = some.selection.gathered(factor).to(dtype)
        named = {name: tensor.to(dtype) for name, tensor in self.named.items()}
        with torch.no_grad():
            start = 0
            for piece in index.split(ROWS):
                block = {name: c[start : start + len(piece)] for name, c in columns.items()}
                for image in self.stack.images:
                    h = entered(self.stack, some.x[piece], jets, image).to(dtype)
                    _, tape = self.stack.forward(h, named, jets)
                    self.stack.backward(image.factor * a[:, piece], tape, named, block, jets)
                start += len(piece)


def entered(stack: Stack, x: torch.Tensor, jets: Jets, image: Image) -> torch.Tensor:
    """The jets of what the first layer sees of an image of ``x`` (m, dimensions).

    Shape (K, m, features).
    """
    diagonal = torch.ones_like(x[:1]) if image.diagonal is None else x.new_tensor([image.diagonal])
    if stack.before is None:
        h = x.new_zeros(len(jets), *x.shape)
        h[0] = x * diagonal
        for k, channel in enumerate(jets.channels):
            if len(channel[0]) == 1:
                i = channel[0][0]
                h[k, :, i] = diagonal[0, i]
        return h
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        z = stack.before(x * diagonal)
        columns = [_jet(feature, x, jets) for feature in z.T]
    return torch.stack(columns, 2).detach()


def _jet(feature: torch.Tensor, x: torch.Tensor, jets: Jets) -> torch.Tensor:
    """The jet of one number at each point, (K, m), by autograd."""
    found = Jet(feature, x)
    zero = torch.zeros_like(feature)
    return torch.stack([sum((found.at(one) for one in c), start=zero) for c in jets.channels])

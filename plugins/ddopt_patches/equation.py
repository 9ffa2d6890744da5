"""An equation as a function of the point and of the jet of u there, and its linearisation.

The user's function asks for derivatives of u as it likes (``dde.grad.jacobian``,
``dde.grad.hessian``, ``torch.autograd.grad``). It is given the Taylor polynomial of u around every
point (``ddopt_pinn.taylor``),

    u(x) = Σ_{|α| <= k} a_α (x − x_0)^α / α!,

with the derivatives a_α as leaves of the graph. The gradient of the sum of F(x, a) over all points
holds ∂F/∂a_α of every point: one backward pass, whatever the equation is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ddopt.numerics.randomness import generator
from ddopt_pinn.derivatives import upto
from ddopt_pinn.library import dde, numbers
from ddopt_pinn.taylor import tail, taylor

Function = Callable[[torch.Tensor, torch.Tensor], Any]  # (x, u) -> one residual or several
Transform = Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None
MOST = 4  # the highest order of an equation; windows have three continuous derivatives by default
PROBES = 8  # points at which an equation is examined
CHUNK = 50_000  # points of one evaluation
ELSEWHERE = (
    "take the problem without patches, or train the network on patches by "
    "model.compile(ddopt.TrustRegion(net.parameters()))"
)


class ElsewhereError(ValueError):
    """An equation, called ``label``, needs u at other points than its own.

    ``read`` are the parameters that it reads for that.
    """

    def __init__(self, label: str, message: str, read: Sequence[torch.Tensor] = ()) -> None:
        super().__init__(f"{label} {message}")
        self.label, self.read = label, list(read)


@dataclass(frozen=True)
class Linearised:
    """F and its slopes at points."""

    residual: torch.Tensor  # (points, equations)
    slopes: torch.Tensor | None  # ∂F/∂a, (points, equations, outputs, Q)


class Equation:
    """A residual F(x, jet of u): which derivatives it needs, its values, its slopes.

    Args:
        function: (x, u) -> residuals (points,), (points, 1) or a list of them.
        dimensions: d, coordinates of a point.
        outputs: components of u.
        at: points (points, d) to examine it at; the first ``PROBES`` of them are taken.
        transform: (x, N) -> u, where conditions are built into u.
        label: how messages call it.

    Raises ``ValueError`` for derivatives above the fourth, and ``ElsewhereError`` for residuals
    that need u elsewhere.
    """

    def __init__(
        self,
        function: Function,
        dimensions: int,
        outputs: int,
        at: torch.Tensor,
        transform: Transform = None,
        label: str = "the equation",
    ) -> None:
        self.function, self.transform, self.label = function, transform, label
        self.dimensions, self.outputs = dimensions, outputs
        x = at.reshape(-1, dimensions)
        x = x[:: max(1, len(x) // PROBES)][:PROBES].clone()
        self._examined = x
        self.order = self._order(x)
        self.indices = upto(dimensions, self.order)
        self.equations = self._examine(x)

    def _order(self, x: torch.Tensor) -> int:
        """The highest order of a derivative that the residual depends on."""
        indices = upto(self.dimensions, MOST)
        try:
            slopes, beyond = self._pass(x, self._some(x, len(indices)), MOST, True, beyond=True)
        except (ValueError, IndexError, RuntimeError) as error:
            why = str(error).rstrip(".")
            raise ValueError(
                f"{self.label} fails for a solution with {self.outputs} output(s) in "
                f"{self.dimensions} dimension(s): {why}. If it asks for another component, make "
                "the patches with outputs=.."
            ) from error
        assert slopes.slopes is not None
        if beyond:
            raise ValueError(
                f"{self.label} has derivatives above order {MOST}, more than the windows of the "
                "patches have; write it as a system of lower order with more outputs"
            )
        # nan counts: there is no meaning for these jets, and there may be for others
        self.depends = not len(x) or bool((slopes.slopes != 0).any())  # on u at all
        known = slopes.slopes.nan_to_num(0.0, 0.0, 0.0)  # some jets may have no meaning for it
        self.fixes = (known[..., 0] != 0).any(0).any(0)  # (outputs,): asks for the value
        used = (known != 0).flatten(0, 2).any(0).tolist()
        return max((sum(a) for a, one in zip(indices, used, strict=True) if one), default=0)

    def _some(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """Jets to examine it with, decided by nothing."""
        shape = (len(x), self.outputs, count)
        chance = generator(0, "patches", "probe")
        return (0.5 + torch.rand(shape, generator=chance, dtype=torch.float64)).to(x)

    def _examine(self, x: torch.Tensor) -> int:
        """The number of equations; each point's residuals must depend on its own jet alone."""
        jets = self._some(x, len(self.indices))
        before = self._pass(x, jets, self.order, False)[0].residual
        if len(before) != len(x):
            raise ValueError(
                f"{self.label} gives {len(before)} residuals at {len(x)} points; it must "
                "give one for each point, or a list of such"
            )
        read = self._reads(x, jets)
        if read:
            raise ElsewhereError(
                self.label,
                f"evaluates a network of its own (an integral of the solution, say), "
                f"whose parameters cannot be linearised point by point; {ELSEWHERE}. If that "
                "network is a given function, call requires_grad_(False) on it",
                read,
            )
        half = len(x) // 2
        jets[half:] += 1.0
        after = self._pass(x, jets, self.order, False)[0].residual
        if not torch.equal(before[:half].nan_to_num(), after[:half].nan_to_num()):
            raise ElsewhereError(
                self.label,
                f"needs u at other points than its own (an integral, an operator), "
                f"which cannot be linearised point by point; {ELSEWHERE}",
            )
        return before.shape[1]

    def _reads(self, x: torch.Tensor, jets: torch.Tensor) -> list[torch.Tensor]:
        """The parameters that a residual depends on; an unknown number has a single entry."""
        with torch.enable_grad(), numbers(x.dtype, x.device):
            try:
                points = x.detach().requires_grad_()
                r = self.value(points, jets)
            finally:
                dde.grad.clear()
        return [one for one in leaves(r) if one.numel() > 1 and one is not points]

    def orders(self, x: torch.Tensor, axis: int) -> list[int]:
        """For each component of u the highest order along an axis that it is differentiated to."""
        found = self._pass(x, self._some(x, len(self.indices)), self.order, True)[0]
        assert found.slopes is not None
        used = (found.slopes != 0).flatten(0, 1).any(0).tolist()  # (outputs, Q)
        along = [alpha[axis] for alpha in self.indices]
        return [max((n for n, on in zip(along, one, strict=True) if on), default=0) for one in used]

    def linearise(self, x: torch.Tensor, jets: torch.Tensor, slopes: bool = True) -> Linearised:
        """F at ``x`` (points, d) for the ``jets`` (points, outputs, Q), and its slopes."""
        parts = [
            self._pass(some, a, self.order, slopes)[0]
            for some, a in zip(x.split(CHUNK), jets.split(CHUNK), strict=True)
        ]
        if len(parts) == 1:
            return parts[0]
        residual = torch.cat([part.residual for part in parts])
        if not slopes:
            return Linearised(residual, None)
        return Linearised(residual, torch.cat([p.slopes for p in parts if p.slopes is not None]))

    def _pass(
        self,
        x: torch.Tensor,
        jets: torch.Tensor,
        order: int,
        slopes: bool,
        beyond: bool = False,
    ) -> tuple[Linearised, bool]:
        """F, its slopes, and, where asked, whether it depends on derivatives beyond ``order``."""
        with torch.enable_grad(), numbers(x.dtype, x.device):
            x = x.detach().requires_grad_()
            a = jets.detach().requires_grad_()
            more = torch.zeros_like(a[..., 0]).requires_grad_(beyond)
            try:
                # beyond the polynomial u can be differentiated, too; there it is zero
                u = taylor(a.mT, x, order) + more * tail(x, order + 1 if beyond else 0)
                r = self._of(x, u)
            finally:
                dde.grad.clear()
            if not slopes:
                return Linearised(r.detach(), None), False
            sums = r.sum(0)
            parts = torch.stack([self._slope(one, a) for one in sums], 1)
            higher = beyond and any(
                bool(self._slope(one, more).nan_to_num(0.0, 0.0, 0.0).any()) for one in sums
            )
        return Linearised(r.detach(), parts), higher

    def probe(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Points and jets of no meaning, to examine it with."""
        return self._examined, self._some(self._examined, len(self.indices))

    def value(self, x: torch.Tensor, jets: torch.Tensor) -> torch.Tensor:
        """F (points, equations) with its graph, for whoever wants other derivatives of it."""
        return self._of(x, taylor(jets.mT, x, self.order) + 0.0 * tail(x, 0))

    def _of(self, x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        if self.transform is not None:
            u = self.transform(x, u)
        found = self.function(x, u)
        several = found if isinstance(found, (list, tuple)) else [found]
        return torch.cat([one[:, None] if one.ndim == 1 else one for one in several], 1)

    @staticmethod
    def _slope(total: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        if not total.requires_grad:
            return torch.zeros_like(a)
        (found,) = torch.autograd.grad(total, a, retain_graph=True, materialize_grads=True)
        return found


def leaves(r: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that a result was computed from and that take gradients."""
    found, seen, left = [], set(), [r.grad_fn]
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        left += [one for one, _ in node.next_functions]
    return found

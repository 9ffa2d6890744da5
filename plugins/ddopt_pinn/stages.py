"""A physics-informed network cut into stages, although its equation differentiates by the input.

The coordinates enter at the first stage and the equation is asked at the last one, which therefore
could not differentiate by them. So the stages hand on not a value but a *jet*: the value with its
first and second derivatives by the coordinates, each layer applying the chain rule,

    z = W a + b:   ∂_i z = W ∂_i a,          ∂_ij z = W ∂_ij a,
    y = σ(z):      ∂_i y = σ'(z) ∂_i z,      ∂_ij y = σ''(z) ∂_i z ∂_j z + σ'(z) ∂_ij z.

At the end the jet becomes the Taylor polynomial around each point. It has the network's derivatives
there, up to the second, so an equation in DeepXDE's words differentiates it as if it were the
network.

Legend: d coordinates, J = 1 + d + d(d+1)/2 numbers in a jet, shape (points, J, width): the value,
∂_1 .. ∂_d, then ∂_ij for i <= j. J = 1 is a value alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import nn

from ddopt.decomposition.layers import balanced
from ddopt.evaluation.problem import Samples
from ddopt_pinn.collocation import Collocation, Equation
from ddopt_pinn.derivatives import derivatives
from ddopt_pinn.library import dde
from ddopt_pinn.taylor import Jet, slope, taylor

Activation = Callable[[torch.Tensor], torch.Tensor]
Transform = Callable[..., torch.Tensor] | None
CHECKED = 3  # points at which a jet is compared with the network itself
ROUND_OFF = 1e4  # machine epsilons that such a comparison may be off


def jet(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The jet of features ``z`` (points, width) made from points ``x`` that need a gradient."""
    names = derivatives(x.shape[1], 2)
    found = [Jet(feature, x) for feature in z.T]
    columns = [torch.stack([one.at(name) for name in names], 1) for one in found]
    return torch.stack(columns, 2)


def activated(sigma: Activation, z: torch.Tensor) -> torch.Tensor:
    """The jet of σ(z) for a function σ that acts on each number."""
    value = z[:, 0]
    if z.shape[1] == 1:
        return sigma(value)[:, None]
    if not value.requires_grad:
        value = value.detach().requires_grad_()
    dimensions = _dimensions(z.shape[1])
    i, j = zip(*derivatives(dimensions, 2)[1 + dimensions :], strict=True)
    with torch.enable_grad():
        s = sigma(value)
        s1 = slope(s, value)[:, None]
        s2 = slope(s1, value)[:, None]
    first, second = z[:, 1 : 1 + dimensions], z[:, 1 + dimensions :]
    return torch.cat([s[:, None], s1 * first, s2 * first[:, i] * first[:, j] + s1 * second], 1)


def _dimensions(numbers: int) -> int:
    """How many coordinates belong to a jet of so many numbers."""
    return next(d for d in range(numbers) if 1 + d + d * (d + 1) // 2 == numbers)


class JetStage(nn.Module):
    """Consecutive layers of a ``dde.nn.FNN``, from jet to jet; they keep their names.

    The last stage may hold unknown coefficients, and hands them on as further outputs.
    """

    def __init__(
        self,
        linears: dict[int, nn.Linear],
        activations: dict[int, Activation],
        unknowns: dict[str, torch.Tensor],
    ) -> None:
        super().__init__()
        self.linears = nn.ModuleDict({str(j): linear for j, linear in linears.items()})
        self.unknowns = nn.ParameterDict(unknowns)
        self._activations = {str(j): sigma for j, sigma in activations.items()}

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        """The jet after the layers, shape (points, J, width)."""
        for name, linear in self.linears.items():
            value, others = a.split([1, a.shape[1] - 1], 1)
            z = [linear(value), nn.functional.linear(others, cast(nn.Linear, linear).weight)]
            a = torch.cat(z, 1)
            if name in self._activations:
                a = activated(self._activations[name], a)
        for coefficient in self.unknowns.values():
            column = coefficient.expand(len(a), 1, 1)
            a = torch.cat([a, nn.functional.pad(column, (0, 0, 0, a.shape[1] - 1))], 2)
        return a


def cut(net: Any, count: int, unknowns: dict[str, torch.Tensor]) -> list[nn.Module]:
    """A ``dde.nn.FNN`` in stages with about equally many parameters, which it shares with them.

    Raises ``ValueError`` for another network, and for more stages than layers.
    """
    if type(net) is not dde.nn.FNN:
        raise ValueError(
            f"a {type(net).__name__} cannot be cut into stages: the derivatives by the coordinates "
            "are carried through the layers of a dde.nn.FNN only; choose strategy = 'sapts_p', "
            "'napts' or 'hybrid', which decompose layers, or 'sapts_d', 'sapts_pinn'"
        )
    linears = dict(enumerate(net.linears))
    if count > len(linears):
        raise ValueError(f"{len(linears)} layers make no {count} stages; use {len(linears)}")
    several = net.activation if isinstance(net.activation, list) else None
    hidden = range(len(linears) - 1)  # the last layer is linear
    sigmas = {j: several[j] if several else net.activation for j in hidden}
    groups = balanced([linears[j].weight.numel() + linears[j].bias.numel() for j in linears], count)
    return [
        JetStage(
            {j: linears[j] for j in group},
            {j: sigmas[j] for j in group if j in sigmas},
            unknowns if d == count - 1 else {},
        )
        for d, group in enumerate(groups)
    ]


class Ends:
    """What the first stage is given, and what the last one makes of it.

    The samples are the residuals of all terms in one row, those of the equation first; their mean
    is f(θ) because a residual of term t counts w_t (Σ_s m_s) / m_t times.
    """

    def __init__(
        self, collocation: Collocation, net: Any, equation: Callable[..., Any], unknowns: list[str]
    ) -> None:
        self._collocation, self._equation, self._unknowns = collocation, equation, unknowns
        self._before: Transform = net._input_transform
        self._after: Transform = net._output_transform
        self.count = sum(collocation.counts)
        self._factors = [
            weight * self.count / max(m, 1)
            for weight, m in zip(collocation.weights, collocation.counts, strict=True)
        ]

    def feed(self, index: torch.Tensor) -> torch.Tensor:
        """The jets of the coordinates at the points that these samples need."""
        return self.jets(self._collocation.inputs(self._terms(index)))

    def values(self, x: torch.Tensor) -> torch.Tensor:
        """The coordinates alone, for a pass whose output is not differentiated."""
        return (x if self._before is None else self._before(x))[:, None]

    def jets(self, x: torch.Tensor) -> torch.Tensor:
        """The jets of what the first layer sees, shape (points, J, features)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            z = x.clone() if self._before is None else self._before(x)
            return jet(z, x).detach()

    def loss(self, output: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The sum over these samples of their squared residuals, each times its factor."""
        samples = self._terms(index)
        found = self._collocation.residuals(*self._pass(output), samples)
        squares = [(r.reshape(-1) ** 2).sum() for r in found]
        return torch.stack(
            [factor * square for factor, square in zip(self._factors, squares, strict=True)]
        ).sum()

    def solution(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The solution at ``x``, (points, outputs), as differentiable there as the jets allow."""
        a = output[:, :, : output.shape[2] - len(self._unknowns)]
        u = taylor(a, x, 2 if a.shape[1] > 1 else 0)
        return u if self._after is None else self._after(x, u)

    def coefficient(self, output: torch.Tensor, name: str) -> torch.Tensor:
        """An unknown coefficient, once for every point, shape (points, 1)."""
        place = output.shape[2] - len(self._unknowns) + self._unknowns.index(name)
        return output[:, 0, place, None]

    def check(self, stages: Sequence[nn.Module], exact: torch.Tensor, x: torch.Tensor) -> None:
        """Compare the residuals of the equation at ``x`` with those of the network itself.

        Raises ``ValueError`` where they differ: a jet ends with the second derivatives.
        """
        output = self.jets(x)
        for stage in stages:
            output = stage(output)
        noise = ROUND_OFF * torch.finfo(exact.dtype).eps * exact.abs().max()
        cause: RuntimeError | None = None
        try:
            found = self._collocation.equations(*self._pass(output), x)
            same = bool((found - exact).abs().max() <= noise)
        except RuntimeError as error:  # autograd: a higher derivative depends on nothing
            same, cause = False, error
        if not same:
            raise ValueError(
                "this equation cannot be cut into stages: stages hand on the solution with its "
                "first and second derivatives, and its residual needs more (of the third order, or "
                "a value elsewhere); choose strategy = 'sapts_p' or 'sapts_d'"
            ) from cause

    def _terms(self, index: torch.Tensor) -> Samples:
        """The samples by their terms."""
        terms, start = [], 0
        for count in self._collocation.counts:
            terms.append(index[(index >= start) & (index < start + count)] - start)
            start += count
        return Samples(tuple(terms))

    def _pass(self, output: torch.Tensor) -> tuple[Callable[[torch.Tensor], Any], Equation]:
        """The network and the equation, when ``output`` is what the stages made of the points.

        The network gives each caller the rows of its points, in the order in which they were fed.
        """
        start = 0

        def forward(x: torch.Tensor) -> torch.Tensor:
            nonlocal start
            start += len(x)
            return self.solution(output[start - len(x) : start], x)

        def equation(x: torch.Tensor, u: torch.Tensor) -> Any:
            inside = output[: len(x)]
            return self._equation(
                x, u, **{name: self.coefficient(inside, name) for name in self._unknowns}
            )

        return forward, equation
